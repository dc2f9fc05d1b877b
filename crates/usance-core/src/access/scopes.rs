//! Scopes of API keys: reading or writing in one area. Writing includes reading.

/// A part of the API that a key can be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Area {
    Catalog,
    Customers,
    Subscriptions,
    Usage,
    Entitlements,
    Invoices,
    Payments,
    Wallets,
    Settings,
    Webhooks,
}

impl Area {
    /// Every area.
    pub const ALL: [Self; 10] = [
        Self::Catalog,
        Self::Customers,
        Self::Subscriptions,
        Self::Usage,
        Self::Entitlements,
        Self::Invoices,
        Self::Payments,
        Self::Wallets,
        Self::Settings,
        Self::Webhooks,
    ];

    /// The word before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Customers => "customers",
            Self::Subscriptions => "subscriptions",
            Self::Usage => "usage",
            Self::Entitlements => "entitlements",
            Self::Invoices => "invoices",
            Self::Payments => "payments",
            Self::Wallets => "wallets",
            Self::Settings => "settings",
            Self::Webhooks => "webhooks",
        }
    }
}

/// What a key may do in an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Right {
    Read,
    Write,
}

impl Right {
    /// The word after the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope: use `all`, or an area and a right such as `usage:write`")]
pub struct InvalidScope(pub String);

/// The scopes of a key: two bits for each area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyScopes(u32);

/// The scope of a key without restriction.
const ALL: &str = "all";

impl KeyScopes {
    /// Everything that a key can do.
    pub const ALL: Self = Self(u32::MAX);

    /// Reads scopes such as `usage:write`; `all` stands alone for everything. None at all permits nothing.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidScope> {
        let mut scopes = Self::default();
        for text in texts {
            if text == ALL {
                scopes = Self::ALL;
                continue;
            }
            let (area, right) = parse_scope(text).ok_or_else(|| InvalidScope(text.to_owned()))?;
            scopes.0 |= bit(area, right);
        }
        Ok(scopes)
    }

    /// Whether a key with these scopes may do this.
    pub const fn allows(self, area: Area, right: Right) -> bool {
        let enough = match right {
            Right::Read => bit(area, Right::Read) | bit(area, Right::Write),
            Right::Write => bit(area, Right::Write),
        };
        self.0 & enough != 0
    }
}

fn parse_scope(text: &str) -> Option<(Area, Right)> {
    let (area, right) = text.split_once(':')?;
    let area = Area::ALL.into_iter().find(|it| it.as_str() == area)?;
    let right = [Right::Read, Right::Write].into_iter().find(|it| it.as_str() == right)?;
    Some((area, right))
}

const fn bit(area: Area, right: Right) -> u32 {
    let place = match area {
        Area::Catalog => 0,
        Area::Customers => 1,
        Area::Subscriptions => 2,
        Area::Usage => 3,
        Area::Entitlements => 4,
        Area::Invoices => 5,
        Area::Payments => 6,
        Area::Wallets => 7,
        Area::Settings => 8,
        Area::Webhooks => 9,
    };
    match right {
        Right::Read => 1 << (2 * place),
        Right::Write => 2 << (2 * place),
    }
}
