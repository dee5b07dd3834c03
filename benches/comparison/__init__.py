"""The parts of `benches/compare`: what is asked, who answers, who proxies, how it is measured."""
