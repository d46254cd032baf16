//! Numbers in, estimates out: intervals, paired tests, sequential gates. Pure.
