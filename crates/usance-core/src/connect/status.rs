//! How far a tenant's connection to Stripe is.

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStatus {
    /// There was none yet.
    Pending,
    /// An account was connected, and Stripe was not asked about it since.
    Connected,
    /// The account takes payments and is paid out.
    Active,
    /// Stripe waits for something before the account does both.
    Restricted,
    /// The tenant or Stripe ended the connection.
    Disconnected,
}

impl ConnectStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Connected, Self::Active, Self::Restricted, Self::Disconnected];

    /// The status of an account of which Stripe says this.
    pub const fn of_account(charges_enabled: bool, payouts_enabled: bool) -> Self {
        if charges_enabled && payouts_enabled { Self::Active } else { Self::Restricted }
    }

    /// The word in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Active => "active",
            Self::Restricted => "restricted",
            Self::Disconnected => "disconnected",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectStatus::{self, Active, Restricted};

    #[test]
    fn an_account_is_active_only_if_it_takes_payments_and_is_paid_out() {
        for (charges, payouts, status) in [
            (true, true, Active),
            (true, false, Restricted),
            (false, true, Restricted),
            (false, false, Restricted),
        ] {
            assert_eq!(ConnectStatus::of_account(charges, payouts), status);
        }
    }

    #[test]
    fn every_word_is_read_back() {
        for status in ConnectStatus::ALL {
            assert_eq!(ConnectStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(ConnectStatus::parse("not_connected"), None);
    }
}
