"""What single changes of LOLViT-X cost and gain: `python -m lolvit_training.ablation`."""
