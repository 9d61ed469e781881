"""Sessions bound to a device (W3C DBSC): a copy of the cookies is worth nothing elsewhere."""
