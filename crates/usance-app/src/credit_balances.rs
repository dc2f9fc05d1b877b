//! What a customer is owed.

use usance_core::ids::CustomerId;
use usance_db::{
    Page, PageRequest, TenantTx,
    credit_balances::{self, CreditBalanceEntry},
};

use crate::{customers, error::Result};

/// A customer's balances and a page of the entries that they are the sums of.
#[derive(Debug, Clone)]
pub struct CreditBalances {
    /// Whose.
    pub customer: CustomerId,
    /// Minor units by currency; the customer's own is always there.
    pub balances: Vec<(String, i64)>,
    /// Newest first.
    pub entries: Page<CreditBalanceEntry>,
}

/// Finds the balances of a customer.
pub async fn get(tx: &mut TenantTx, customer: &str, page: PageRequest) -> Result<CreditBalances> {
    let customer = customers::get(tx, customer).await?;
    let mut balances = credit_balances::list_balances(tx, customer.id).await?;
    if balances.iter().all(|(currency, _)| *currency != customer.currency) {
        balances.push((customer.currency, 0));
    }
    let entries = credit_balances::list(tx, customer.id, page).await?;
    Ok(CreditBalances { customer: customer.id, balances, entries })
}
