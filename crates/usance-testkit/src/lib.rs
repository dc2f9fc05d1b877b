//! usance-testkit
