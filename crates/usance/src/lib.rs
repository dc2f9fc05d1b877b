//! usance
