// A generic function that burns CPU until it is ended: hot SECONDS.
use std::time::{Duration, Instant};

mod shop {
    pub trait Price {
        fn cents(&self) -> u64;
    }
    impl Price for u32 {
        fn cents(&self) -> u64 {
            u64::from(*self)
        }
    }

    #[inline(never)]
    pub fn total<P: Price>(prices: &[P], turns: u32) -> u64 {
        let mut sum: u64 = 0;
        for _ in 0..turns {
            for price in prices {
                sum = sum.wrapping_mul(31).wrapping_add(price.cents());
            }
        }
        sum
    }
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let prices = vec![7u32; 1000];
    let mut sum: u64 = 0;
    while Instant::now() < end {
        sum = sum.wrapping_add(shop::total(&prices, 1000));
    }
    eprintln!("{sum}");
}
