//! Dividing an amount so that the parts add up to it.

/// Divides an amount in proportion to weights by largest remainder: every part is its exact share rounded up or down,
/// and the parts add up to the amount.
///
/// Of equal remainders the first weights win. The amount and the weights are not negative, and the amount is not above
/// their sum; else what exceeds these bounds is not divided.
pub fn allocate(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|weight| i128::from(*weight).max(0)).sum();
    let amount = i128::from(amount).clamp(0, sum);
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let (mut parts, mut remainders) = (Vec::with_capacity(weights.len()), Vec::with_capacity(weights.len()));
    for (index, weight) in weights.iter().enumerate() {
        let product = i128::from(*weight).max(0) * amount;
        let part = product / sum;
        parts.push(i64::try_from(part).expect("a part is at most its weight, which fits 64 bits"));
        remainders.push((sum - product % sum, index));
    }
    let given: i128 = parts.iter().copied().map(i128::from).sum();
    let missing = usize::try_from(amount - given).expect("fewer units are missing than there are parts");
    remainders.sort_unstable();
    for (_, index) in remainders.into_iter().take(missing) {
        parts[index] += 1;
    }
    parts
}
