//! How much of each AWS API may be used: token buckets, and the queue of the requests that wait for them. Pure: whoever asks
//! brings the time, and waits by itself (`gate.rs`).
//!
//! A [`Lane`] holds the buckets of one service in one region of one account, as AWS counts. A request takes from all buckets that
//! it concerns. Requests go in the order in which they came, except that one which waits for the scarce bucket of its operation
//! lets others of its service pass, and keeps what it needs of the common bucket. A request that is given up leaves the queue.
//!
//! Where AWS publishes a figure it is the ceiling; where it does not, [`UNPUBLISHED`] is, a rate that a careful client has. In both
//! cases others may use up the same limits, so a throttled answer halves the lane's rates, at most once a second, and accepted
//! requests raise them again by a twentieth of the ceiling a second (AIMD).
//!
//! Rejected: a reservation of a moment for each request, without a queue. What was promised before a throttled answer would go on
//! at the old rate, and a request that is given up would take its moment with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::between;

/// A limit of an API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The service by its endpoint's name.
    pub service: &'static str,
    /// The operation, or all of the service together.
    pub operation: Option<&'static str>,
    /// The most that can be used at once.
    pub burst: f64,
    /// What comes back in a second.
    pub rate: f64,
    /// The page of AWS's documentation with the figures.
    pub source: &'static str,
}

const ROUTE53_QUOTAS: &str = "Amazon Route 53 Developer Guide, Quotas: Maximums on API requests";

/// The limits that AWS publishes, for the calls of the kinds. All of a service in a region, and then those of single operations.
pub const PUBLISHED: &[Limit] = &[
    Limit { service: "route53", operation: None, burst: 50.0, rate: 10.0, source: ROUTE53_QUOTAS },
    // Counted in records, an UPSERT twice.
    Limit { service: "route53", operation: Some("ChangeResourceRecordSets"), burst: 1500.0, rate: 100.0, source: ROUTE53_QUOTAS },
    Limit { service: "route53", operation: Some("GetHealthCheckStatus"), burst: 4.0, rate: 1.0, source: ROUTE53_QUOTAS },
    Limit {
        service: "route53-recovery-cluster",
        operation: Some("UpdateRoutingControlStates"),
        burst: 3.0,
        rate: 3.0,
        source: "ARC Developer Guide, Quotas for routing control: mutating API calls to a cluster endpoint",
    },
    Limit {
        service: "elasticloadbalancing",
        operation: None,
        burst: 40.0,
        rate: 10.0,
        source: "Elastic Load Balancing User Guide, Request throttling for the ELB API: Describe* operations",
    },
];

/// What is used of a service that publishes no limit: EC2 Auto Scaling (one bucket for all of its calls), EKS, RDS, SNS,
/// CloudWatch, STS. The rate is that of the most careful published ones, and half of what EC2 documents for its own Describe calls.
pub const UNPUBLISHED: (f64, f64) = (50.0, 10.0);

/// The part of a limit that is used. Requests that were sent evenly do not arrive evenly, and the AWS console is a client too.
const BURST_SHARE: f64 = 0.9;
const RATE_SHARE: f64 = 0.95;

/// A lane is not slowed down below this part of its ceiling.
const SCALE_MIN: f64 = 1.0 / 64.0;
/// What a second without a throttled answer adds, as a part of the ceiling.
const SCALE_STEP: f64 = 1.0 / 20.0;
/// Throttled answers within this time are about the same burst.
const ONE_BURST: Duration = Duration::from_secs(1);

/// A token bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    burst: f64,
    rate: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// Makes a full bucket.
    pub fn full(burst: f64, rate: f64, now: Timestamp) -> Self {
        Self { burst, rate, tokens: burst, at: now }
    }

    /// Lets come back what came back by `now`, at `scale` times the rate.
    fn refill(&mut self, now: Timestamp, scale: f64) {
        if now > self.at {
            self.tokens = (self.tokens + self.rate * scale * between(self.at, now).as_secs_f64()).min(self.burst);
            self.at = now;
        }
    }

    /// Returns how long it takes until `needed` are there.
    fn lacks(&self, needed: f64, scale: f64) -> Duration {
        let missing = needed - self.tokens;
        // What a refill is short of by rounding is there.
        if missing <= 1e-6 { Duration::ZERO } else { Duration::from_secs_f64(missing / (self.rate * scale)) }
    }
}

/// What a request that asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may go, and has paid.
    Go,
    /// It should ask again after this time.
    Wait(Duration),
}

/// A place in the queue of a lane.
pub type Place = u64;

/// The budget of one service in one region.
#[derive(Debug)]
pub struct Lane {
    service: &'static str,
    /// With the operation that each is for.
    buckets: Vec<(Option<&'static str>, Bucket)>,
    /// The part of the ceiling that is used at present.
    scale: f64,
    scaled_at: Timestamp,
    /// What those who wait will pay to each bucket.
    queue: BTreeMap<Place, Vec<f64>>,
    next: Place,
}

impl Lane {
    /// Makes the lane of a service, with everything there to be used.
    pub fn new(service: &'static str, now: Timestamp) -> Self {
        let bucket = |burst: f64, rate: f64| Bucket::full((burst * BURST_SHARE).max(1.0), rate * RATE_SHARE, now);
        let of_service = PUBLISHED.iter().filter(|limit| limit.service == service);
        let mut buckets: Vec<_> = of_service.map(|limit| (limit.operation, bucket(limit.burst, limit.rate))).collect();
        if buckets.iter().all(|(operation, _)| operation.is_some()) {
            buckets.push((None, bucket(UNPUBLISHED.0, UNPUBLISHED.1)));
        }
        Self { service, buckets, scale: 1.0, scaled_at: now, queue: BTreeMap::new(), next: 0 }
    }

    /// Returns the service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Queues a request: one call, and `weight` of what its operation's own limit counts, which is calls unless it counts records.
    pub fn join(&mut self, operation: &str, weight: f64) -> Place {
        let charge = |(of, bucket): &(Option<&str>, Bucket)| match of {
            None => 1.0,
            // More than there ever is would wait forever.
            Some(of) if *of == operation => weight.min(bucket.burst),
            Some(_) => 0.0,
        };
        let place = self.next;
        self.next += 1;
        self.queue.insert(place, self.buckets.iter().map(charge).collect());
        place
    }

    /// Tells a request whether it is its turn. One that goes has left the queue.
    pub fn ask(&mut self, place: Place, now: Timestamp) -> Turn {
        let scale = self.scale;
        for (_, bucket) in &mut self.buckets {
            bucket.refill(now, scale);
        }
        let mut wait = Duration::ZERO;
        for (ix, (_, bucket)) in self.buckets.iter().enumerate() {
            let own = self.queue.get(&place).map_or(0.0, |charges| charges[ix]);
            if own > 0.0 {
                let ahead: f64 = self.queue.range(..place).map(|(_, charges)| charges[ix]).sum();
                wait = wait.max(bucket.lacks(ahead + own, scale));
            }
        }
        if wait > Duration::ZERO {
            // Clocks have coarse ticks: without this a request could ask again at the very same moment.
            return Turn::Wait(wait + Duration::from_millis(1));
        }
        for ((_, bucket), charge) in self.buckets.iter_mut().zip(self.queue.remove(&place).unwrap_or_default()) {
            bucket.tokens -= charge;
        }
        Turn::Go
    }

    /// Takes a request that was given up from the queue.
    pub fn leave(&mut self, place: Place) {
        self.queue.remove(&place);
    }

    /// Slows down: AWS has turned a request away because there were too many, ours or those of others.
    pub fn throttled(&mut self, now: Timestamp) {
        for (_, bucket) in &mut self.buckets {
            bucket.refill(now, self.scale);
            bucket.tokens = bucket.tokens.min(1.0);
        }
        if self.scale == 1.0 || between(self.scaled_at, now) >= ONE_BURST {
            self.scale = (self.scale / 2.0).max(SCALE_MIN);
            self.scaled_at = now;
        }
    }

    /// Speeds up again, a little at a time: AWS has taken a request.
    pub fn accepted(&mut self, now: Timestamp) {
        if self.scale < 1.0 && between(self.scaled_at, now) >= ONE_BURST {
            self.scale = (self.scale + SCALE_STEP).min(1.0);
            self.scaled_at = now;
        }
    }

    /// Returns the part of the ceiling that is used at present.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    /// How many of `requests` that come at once have gone by `seconds`, each asking again when it was told to.
    fn gone_by(lane: &mut Lane, requests: u32, seconds: f64) -> usize {
        let mut due: BTreeMap<(Timestamp, Place), ()> = (0..requests).map(|_| ((at(0.0), lane.join("GetChange", 1.0)), ())).collect();
        let mut gone = Vec::new();
        while let Some(((now, place), ())) = due.pop_first() {
            match lane.ask(place, now) {
                _ if now > at(seconds) => break,
                Turn::Go => gone.push(place),
                Turn::Wait(wait) => drop(due.insert((now + wait, place), ())),
            }
        }
        assert!(gone.is_sorted(), "first come, first served");
        gone.len()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        assert_eq!(gone_by(&mut Lane::new("route53", at(0.0)), 500, 0.0), 45);
        assert_eq!(gone_by(&mut Lane::new("route53", at(0.0)), 500, 10.1), 45 + 95);
        assert_eq!(gone_by(&mut Lane::new("route53", at(0.0)), 500, 60.0), 500);
    }

    #[test]
    fn an_operation_that_is_scarce_lets_the_others_of_its_service_pass() {
        let mut lane = Lane::new("route53", at(0.0));
        let scarce: Vec<_> = (0..6).map(|_| lane.join("GetHealthCheckStatus", 1.0)).collect();
        let other = lane.join("GetChange", 1.0);
        let turns: Vec<_> = scarce.iter().map(|place| lane.ask(*place, at(0.0)) == Turn::Go).collect();
        assert_eq!(turns, [true, true, true, false, false, false]);
        assert_eq!(lane.ask(other, at(0.0)), Turn::Go);
        let large = lane.join("ChangeResourceRecordSets", 1000.0);
        let larger = lane.join("ChangeResourceRecordSets", 1e9);
        assert_eq!(lane.ask(large, at(0.0)), Turn::Go);
        assert!(
            matches!(lane.ask(larger, at(0.0)), Turn::Wait(wait) if wait > Duration::from_secs(5)),
            "what exceeds the bucket waits for a full one"
        );
        assert_eq!(lane.ask(larger, at(30.0)), Turn::Go);
    }

    #[test]
    fn a_request_that_is_given_up_makes_room() {
        let mut lane = Lane::new("rds", at(0.0));
        let places: Vec<_> = (0..47).map(|_| lane.join("DescribeDBInstances", 1.0)).collect();
        let last = *places.last().expect("places");
        assert!(matches!(lane.ask(last, at(0.0)), Turn::Wait(_)));
        lane.leave(places[0]);
        lane.leave(places[1]);
        assert_eq!(lane.ask(last, at(0.0)), Turn::Go);
    }

    #[test]
    fn throttled_answers_halve_the_rate_and_accepted_ones_bring_it_back() {
        let mut lane = Lane::new("autoscaling", at(0.0));
        lane.throttled(at(0.0));
        lane.throttled(at(0.5));
        assert_eq!(lane.scale(), 0.5, "one burst counts once");
        lane.throttled(at(2.0));
        assert_eq!(lane.scale(), 0.25);
        assert!((5..=7).contains(&gone_by(&mut lane, 100, 4.0)), "the burst is gone, and the rate is a quarter");
        for tenths in 0..400 {
            lane.accepted(at(10.0 + f64::from(tenths) / 10.0));
        }
        assert_eq!(lane.scale(), 1.0);
        for seconds in 0..100 {
            lane.throttled(at(100.0 + 2.0 * f64::from(seconds)));
        }
        assert_eq!(lane.scale(), SCALE_MIN);
    }

    #[test]
    fn every_service_has_a_common_bucket_and_every_figure_a_source() {
        for service in ["route53", "elasticloadbalancing", "autoscaling", "eks", "rds"] {
            assert_eq!(Lane::new(service, at(0.0)).buckets.iter().filter(|(operation, _)| operation.is_none()).count(), 1);
        }
        assert!(PUBLISHED.iter().all(|limit| limit.burst >= limit.rate && limit.source.contains("Guide")));
    }
}
