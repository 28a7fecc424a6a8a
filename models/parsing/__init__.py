"""Face masks: which class of CelebAMask-HQ each pixel belongs to."""
