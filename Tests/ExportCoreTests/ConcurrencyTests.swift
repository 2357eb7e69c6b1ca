import Model
import Testing

@testable import ExportCore

@Suite struct ConcurrencyTests {
    /// A receiver that works on `atOnce` requests at a time and queues the rest.
    private struct Receiver {
        var atOnce: Int
        /// Milliseconds for a request, and for each record of it.
        var fixed: Double = 40
        var perRecord: Double = 0.02
        var busyUntil: [Tick] = []

        mutating func take(_ records: Int, now: Tick, rng: inout PRNG) -> Tick {
            let noise = 1 + Double(rng.below(300)) / 1_000
            let took = UInt64((fixed + perRecord * Double(records)) * noise)
            busyUntil = busyUntil.filter { $0 > now }.sorted()
            let free = busyUntil.count < atOnce ? now : busyUntil[busyUntil.count - atOnce]
            let done = free.adding(milliseconds: took)
            busyUntil.append(done)
            return done
        }
    }

    /// As many requests as the limit lets leave, for a time; the limits seen.
    private func drive(
        _ controller: inout ConcurrencyController, _ receiver: inout Receiver, from start: Tick, seconds: UInt64,
        sizes: [Int] = [10_000], rng: inout PRNG
    ) -> [Int] {
        var now = start
        var flying: [(sent: Tick, done: Tick, records: Int)] = []
        var limits: [Int] = []
        while now < start.adding(milliseconds: seconds * 1_000) {
            while flying.count < controller.limit {
                let records = sizes[Int(rng.below(UInt64(sizes.count)))]
                flying.append((now, receiver.take(records, now: now, rng: &rng), records))
                controller.sent(inFlight: flying.count)
            }
            guard let next = flying.indices.min(by: { flying[$0].done < flying[$1].done }) else { break }
            let done = flying.remove(at: next)
            now = done.done
            controller.answered(
                .good, records: done.records, sentAt: done.sent,
                nanoseconds: now.nanoseconds - done.sent.nanoseconds, now: now)
            limits.append(controller.limit)
        }
        return limits
    }

    private func mean(_ values: ArraySlice<Int>) -> Double {
        Double(values.reduce(0, +)) / Double(max(values.count, 1))
    }

    @Test func growsTwofoldUntilTheFirstOverloadThenByOne() {
        var controller = ConcurrencyController(floor: 1, ceiling: 64)
        var now = Tick(nanoseconds: 1_000_000_000)
        func roundTrip(_ sign: ConcurrencyController.Sign, full: Bool = true) {
            let sent = now
            controller.sent(inFlight: full ? controller.limit : controller.limit - 1)
            now = now.adding(milliseconds: 50)
            controller.answered(sign, records: 100, sentAt: sent, nanoseconds: 50_000_000, now: now)
        }
        var seen: [Int] = []
        for _ in 0..<4 {
            seen.append(controller.limit)
            roundTrip(.good)
        }
        #expect(seen == [1, 2, 4, 8] && controller.limit == 16)
        roundTrip(.overloaded)
        #expect(controller.limit == 8)
        roundTrip(.good)
        roundTrip(.good)
        #expect(controller.limit == 10)
        roundTrip(.good, full: false)
        #expect(controller.limit == 10, "a limit that was not used up tells nothing")
        roundTrip(.neutral)
        #expect(controller.limit == 10)
        for _ in 0..<200 { roundTrip(.good) }
        #expect(controller.limit == 64)
        controller.restart(now: now)
        #expect(controller.limit == 1)
        for _ in 0..<5 { roundTrip(.good) }
        #expect(controller.limit == 32)
        roundTrip(.good)
        #expect(controller.limit == 33, "half of the old limit is reached quickly, the rest slowly")
    }

    @Test func lowersOncePerRoundTripAndNeverBelowTheFloor() {
        var controller = ConcurrencyController(floor: 3, ceiling: 16)
        let start = Tick(nanoseconds: 1_000_000_000)
        for step in 0..<4 as Range<UInt64> {
            controller.sent(inFlight: controller.limit)
            let now = start.adding(milliseconds: step * 100)
            controller.answered(.good, records: 1, sentAt: now, nanoseconds: 1, now: now)
        }
        #expect(controller.limit == 16)
        let sent = start.adding(milliseconds: 1_000)
        for late in 1...16 as ClosedRange<UInt64> {
            controller.answered(
                .overloaded, records: 1, sentAt: sent, nanoseconds: 1, now: sent.adding(milliseconds: late))
            #expect(controller.limit == 8, "sixteen requests of one round trip are one sign")
        }
        for step in 1...5 as ClosedRange<UInt64> {
            let now = sent.adding(milliseconds: step * 1_000)
            controller.answered(.overloaded, records: 1, sentAt: now, nanoseconds: 1, now: now)
        }
        #expect(controller.limit == 3)
    }

    /// Between what the receiver works on at once, below which it idles, and somewhat more than twice that.
    @Test(arguments: [1, 3, 8, 20])
    func findsWhatTheReceiverWorksOnAtOnce(atOnce: Int) {
        for seed in 0..<5 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var controller = ConcurrencyController(floor: 1, ceiling: 64)
            var receiver = Receiver(atOnce: atOnce)
            let limits = drive(
                &controller, &receiver, from: Tick(nanoseconds: 1_000_000), seconds: 120, rng: &rng)
            let settled = mean(limits.suffix(limits.count / 2))
            #expect(
                Double(atOnce)...Double(atOnce * 5 / 2 + 2) ~= settled, "seed \(seed): \(settled) for \(atOnce)")
        }
    }

    /// Hours of a congestion of our own making are not taken for the receiver's nature.
    @Test func limitDoesNotCreepUpwards() {
        var rng = PRNG(seed: 9)
        var controller = ConcurrencyController(floor: 1, ceiling: 64)
        var receiver = Receiver(atOnce: 4, fixed: 400)
        let limits = drive(
            &controller, &receiver, from: Tick(nanoseconds: 1_000_000), seconds: 4 * 3_600, rng: &rng)
        #expect(mean(limits.suffix(limits.count / 4)) <= 12, "\(mean(limits.suffix(limits.count / 4)))")
    }

    @Test func mixedSizesAreNoOverload() {
        var rng = PRNG(seed: 4)
        var controller = ConcurrencyController(floor: 1, ceiling: 4)
        // A hundred times the work in one request of ten.
        var receiver = Receiver(atOnce: 4, fixed: 20, perRecord: 0.2)
        let sizes = [1, 5, 40, 300, 2_000, 10_000]
        let limits = drive(
            &controller, &receiver, from: Tick(nanoseconds: 1_000_000), seconds: 600, sizes: sizes, rng: &rng)
        #expect(mean(limits.suffix(limits.count / 2)) > 3.9, "\(mean(limits.suffix(limits.count / 2)))")
    }

    /// A receiver that becomes slower makes the limit fall; one that stays so is believed after some minutes.
    @Test func slowerReceiverIsNoticedAndInTheEndBelieved() {
        var rng = PRNG(seed: 5)
        var controller = ConcurrencyController(floor: 1, ceiling: 16)
        var receiver = Receiver(atOnce: 16)
        var limits = drive(&controller, &receiver, from: Tick(nanoseconds: 1_000_000), seconds: 60, rng: &rng)
        #expect(mean(limits.suffix(limits.count / 2)) > 15)
        receiver.fixed *= 6
        receiver.perRecord *= 6
        limits = drive(&controller, &receiver, from: Tick(nanoseconds: 70_000_000_000), seconds: 30, rng: &rng)
        #expect(limits.min() == 1)
        limits = drive(&controller, &receiver, from: Tick(nanoseconds: 100_000_000_000), seconds: 1_200, rng: &rng)
        #expect(mean(limits.suffix(limits.count / 4)) > 12)
    }

    @Test func sizeClassesHoldLikeWithLike() {
        #expect((1...7).map(LatencyBaseline.sizeClass) == [0, 4, 6, 8, 9, 10, 11])
        var last = 0
        for records in 1...100_000 {
            let index = LatencyBaseline.sizeClass(records)
            #expect(index == last || index > last)
            last = index
        }
        #expect(LatencyBaseline.sizeClass(10_000) == LatencyBaseline.sizeClass(8_200 + 1_800))
        #expect(LatencyBaseline.sizeClass(1_000) != LatencyBaseline.sizeClass(1_300))
        #expect(LatencyBaseline.sizeClass(.max) == LatencyBaseline.sizeClass(1 << 30))
        #expect(LatencyBaseline.sizeClass(0) == 0)
    }
}
