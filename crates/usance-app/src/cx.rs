//! The context of one request or one piece of due work.

use std::net::IpAddr;

use jiff::Timestamp;
use usance_core::ids::RequestId;
use usance_db::{Scope, TenantTx, test_clocks};

use crate::{App, auth::Caller, error::Result};

/// Who asks for what, when.
#[derive(Debug, Clone)]
pub struct Cx {
    /// Everything from outside.
    pub app: App,
    /// Whose rows are reached.
    pub scope: Scope,
    /// Who calls; absent for due work.
    pub caller: Option<Caller>,
    /// The wall clock, read once.
    pub now: Timestamp,
    /// For logs and answers.
    pub request_id: RequestId,
    /// Where the request comes from; absent for due work.
    pub address: Option<IpAddr>,
}

impl Cx {
    /// The context of work that nobody asked for.
    pub fn of_work(app: &App, scope: Scope) -> Self {
        let request_id = RequestId::from_uuid(app.ids.next());
        Self { app: app.clone(), scope, caller: None, now: app.now(), request_id, address: None }
    }

    /// Begins a transaction over the rows that the caller reaches: all of the tenant and mode, or those that a customer may
    /// see of itself.
    pub async fn begin(&self) -> Result<TenantTx> {
        match &self.caller {
            Some(Caller::Customer(customer)) => Ok(self.app.db.customer(self.scope, customer.id).await?),
            Some(Caller::SecretKey(..) | Caller::PublishableKey(_) | Caller::Member(_)) | None => {
                self.begin_as_tenant().await
            }
        }
    }

    /// Begins a transaction over all rows of the tenant and mode, whoever calls: for what serves all callers, such as memory.
    pub async fn begin_as_tenant(&self) -> Result<TenantTx> {
        Ok(self.app.db.tenant(self.scope).await?)
    }

    /// The name by which a caller's customer is looked up. Customers are known by their ids: a tenant's names for them move.
    pub fn customer_name(&self, name: &str) -> String {
        match &self.caller {
            Some(Caller::Customer(customer)) => customer.id.to_string(),
            Some(Caller::SecretKey(..) | Caller::PublishableKey(_) | Caller::Member(_)) | None => {
                name.to_owned()
            }
        }
    }

    /// The tenant's time: its test clock in test mode if it has one, else the wall clock.
    pub async fn tenant_now(&self, tx: &mut TenantTx) -> Result<Timestamp> {
        if self.scope.livemode {
            return Ok(self.now);
        }
        Ok(test_clocks::find(tx).await?.unwrap_or(self.now))
    }
}
