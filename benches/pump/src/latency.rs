//! What a load measured, as the line of JSON that `comparison/load.py` reads.

use std::time::Duration;

#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, one: Duration) {
        self.0.push(one);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Microseconds that `share` of all stayed within; 0 where there are none.
    pub fn within(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at).or(self.0.last()).map_or(0.0, |one| one.as_secs_f64() * 1e6)
    }

    /// `more` are members of the object, each with its comma.
    pub fn tell(&mut self, seconds: f64, more: &str) {
        eprintln!(
            "{{{more}\"requests\":{},\"seconds\":{seconds:.6},\"p50_us\":{:.1},\"p99_us\":{:.1}}}",
            self.len(),
            self.within(0.5),
            self.within(0.99),
        );
    }
}
