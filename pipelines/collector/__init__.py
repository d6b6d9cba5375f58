"""The recorder of public liquidation streams: raw messages first, rows later."""
