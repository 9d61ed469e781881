"""What every JWT of ours must look like, whichever key signed it."""
