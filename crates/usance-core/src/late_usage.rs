//! What becomes of usage that comes after its invoice.

/// How late usage is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LateUsage {
    /// The difference is booked on the next invoice.
    NextInvoice,
    /// The invoice is credited as a whole and issued anew with all usage.
    CreditNoteAndReissue,
}

impl LateUsage {
    /// Every policy; the first is the default.
    pub const ALL: [Self; 2] = [Self::NextInvoice, Self::CreditNoteAndReissue];

    /// Reads the word of [`LateUsage::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// Returns the word of the API's and the database's `late_usage`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NextInvoice => "next_invoice",
            Self::CreditNoteAndReissue => "credit_note_and_reissue",
        }
    }
}
