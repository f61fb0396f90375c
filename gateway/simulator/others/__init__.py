"""The APIs beside chat: moderation, images, audio, reranking."""
