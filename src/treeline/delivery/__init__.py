"""From trained models in a checkout to a deployed service: storage, git, reports, images, Koyeb."""
