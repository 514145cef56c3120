"""An exchange to practise with: a market, files and faults, served over SoupBinTCP."""
