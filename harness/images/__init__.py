"""The images that a cluster runs and where they come from: node image, registry, sample images."""
