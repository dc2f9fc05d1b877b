//! What must hold in every database at any time, looked at row by row. Nothing is changed.

mod answers;

use std::fmt;

use usance_core::ids::TenantId;
use usance_db::{
    Db, DbError, Scope, TenantTx,
    checks::{Finding, billing, feature_holds, ledger, wallets},
    tenants,
};

/// An invariant of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Debits are credits.
    Balance,
    /// Accounts count their transfers.
    Counters,
    /// Limits hold.
    Limits,
    /// What is pending is resolved once.
    Holds,
    /// Nothing crosses tenants, currencies or customers.
    Boundaries,
    /// The hash chain is unbroken.
    Chain,
    /// Invoices are their lines and what the ledger says.
    Invoices,
    /// Wallets are their grants and entries.
    Wallets,
    /// One charge is one row.
    Charges,
    /// What happened is counted once.
    Once,
    /// What is withdrawn gives everything back.
    Voids,
    /// A kept answer tells what is there.
    Answers,
}

impl Invariant {
    /// In the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Balance,
        Self::Counters,
        Self::Limits,
        Self::Holds,
        Self::Boundaries,
        Self::Chain,
        Self::Invoices,
        Self::Wallets,
        Self::Charges,
        Self::Once,
        Self::Voids,
        Self::Answers,
    ];

    /// The short name, for programs: `I1` to `I12`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Balance => "I1",
            Self::Counters => "I2",
            Self::Limits => "I3",
            Self::Holds => "I4",
            Self::Boundaries => "I5",
            Self::Chain => "I6",
            Self::Invoices => "I7",
            Self::Wallets => "I8",
            Self::Charges => "I9",
            Self::Once => "I10",
            Self::Voids => "I11",
            Self::Answers => "I12",
        }
    }

    /// What holds, as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Balance => "the debits of the ledger are its credits, in every currency",
            Self::Counters => "every ledger account counts exactly what its transfers add up to",
            Self::Limits => "no account is above its limit, but for usage that had happened already",
            Self::Holds => {
                "every hold is resolved at most once, and open holds are what accounts and counters reserve"
            }
            Self::Boundaries => "no transfer crosses tenants, currencies or customers",
            Self::Chain => {
                "the hash chain of the ledger is unbroken, so that nothing in it was changed later"
            }
            Self::Invoices => "every invoice is the sum of its lines, and what the ledger says of it",
            Self::Wallets => {
                "every wallet is the sum of its entries and grants, and spends no more than it has"
            }
            Self::Charges => "every charge of a payment gateway appears once",
            Self::Once => "every payment, refund, credit and usage event is counted exactly once",
            Self::Voids => "every invoice that was withdrawn has given back what it took",
            Self::Answers => "every answer that is kept for a repeated request tells what is there",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A row that breaks an invariant.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// Whose row.
    pub scope: Scope,
    /// Which row, and what is wrong with it.
    pub finding: Finding,
}

/// The end of a ledger's chain. Whoever keeps it elsewhere can prove later that nothing before it was cut off.
#[derive(Debug, Clone)]
pub struct Head {
    /// Whose ledger.
    pub scope: Scope,
    /// The number of the last link.
    pub link: i64,
    /// SHA-256 in hexadecimal.
    pub hash: String,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many tenants were looked at.
    pub tenants: usize,
    /// By tenant, mode and invariant; at most 100 rows of each query.
    pub violations: Vec<Violation>,
    /// By tenant and mode; those without a ledger have none.
    pub heads: Vec<Head>,
}

/// Looks at every row of every tenant, each tenant and mode as it is at one moment.
pub async fn check(db: &Db) -> Result<Report, DbError> {
    let mut system = db.system().await?;
    let tenants = tenants::list_ids(&mut system).await?;
    drop(system);
    let mut report = Report { tenants: tenants.len(), ..Report::default() };
    for tenant in tenants {
        check_tenant(db, tenant, &mut report).await?;
    }
    Ok(report)
}

async fn check_tenant(db: &Db, tenant: TenantId, report: &mut Report) -> Result<(), DbError> {
    for livemode in [false, true] {
        let scope = Scope { tenant, livemode };
        let mut tx = db.snapshot(scope).await?;
        for invariant in Invariant::ALL {
            let found = find(&mut tx, invariant).await?;
            report.violations.extend(found.into_iter().map(|finding| Violation {
                invariant,
                scope,
                finding,
            }));
        }
        if let Some((link, hash)) = ledger::head(&mut tx).await? {
            report.heads.push(Head { scope, link, hash });
        }
    }
    Ok(())
}

async fn find(tx: &mut TenantTx, invariant: Invariant) -> Result<Vec<Finding>, DbError> {
    match invariant {
        Invariant::Balance => ledger::unbalanced_units(tx).await,
        Invariant::Counters => ledger::wrong_counters(tx).await,
        Invariant::Limits => ledger::exceeded_limits(tx).await,
        Invariant::Holds => {
            let mut found = ledger::wrong_resolutions(tx).await?;
            found.extend(wallets::wrong_holds(tx).await?);
            found.extend(wallets::wrong_reserves(tx).await?);
            found.extend(feature_holds::wrong_counters(tx).await?);
            Ok(found)
        }
        Invariant::Boundaries => ledger::crossing_transfers(tx).await,
        Invariant::Chain => ledger::broken_links(tx).await,
        Invariant::Invoices => billing::wrong_invoices(tx).await,
        Invariant::Wallets => wallets::wrong_wallets(tx).await,
        Invariant::Charges => billing::repeated_charges(tx).await,
        Invariant::Once => {
            let mut found = billing::unposted_money(tx).await?;
            found.extend(billing::repeated_events(tx).await?);
            Ok(found)
        }
        Invariant::Voids => billing::kept_by_void(tx).await,
        Invariant::Answers => answers::find_untrue(tx).await,
    }
}
