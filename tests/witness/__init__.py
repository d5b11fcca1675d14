"""What others wrote, asked about what we wrote: real servers, official SDKs, and chance."""
