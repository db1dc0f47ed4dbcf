"""Models: a file each, with the network and the LightningModule that trains it."""
