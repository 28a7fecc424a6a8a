"""StyleGAN2 with the key names of the public PyTorch checkpoints (rosinality/stylegan2-pytorch)."""
