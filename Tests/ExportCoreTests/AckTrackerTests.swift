import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

@Suite struct AckTrackerTests {
    private typealias Ticket = AckTracker.Ticket

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: 0).adding(milliseconds: milliseconds) }

    /// A tracker with requests 0..<count accepted at time 0 on one channel.
    private func tracker(_ count: Int = 1, wait: UInt64 = 300_000) -> (AckTracker, AckChannel) {
        var tracker = AckTracker(AckTracker.Settings(waitMilliseconds: wait))
        let channel = tracker.channelForSend().channel
        for number in 0..<count {
            let effects = tracker.handle(
                .accepted(Ticket(UInt64(number)), id: Int64(number), on: channel), now: at(0))
            #expect(effects.isEmpty)
        }
        return (tracker, channel)
    }

    @Test func allNumbersAreAskedForAtOnceAndEachIsConfirmedByItsOwn() {
        var (tracker, channel) = tracker(3)
        #expect(tracker.nextTick == at(1_000) && tracker.outstanding == 3)
        #expect(tracker.handle(.tick, now: at(999)) == [])
        #expect(tracker.handle(.tick, now: at(1_000)) == [.poll(channel, [0, 1, 2])])
        // While a poll is under way no other leaves.
        #expect(tracker.handle(.tick, now: at(5_000)) == [])
        #expect(tracker.handle(.polled(channel, confirmed: [2, 7]), now: at(5_000)) == [.confirmed(Ticket(2))])
        #expect(tracker.handle(.tick, now: at(6_000)) == [.poll(channel, [0, 1])])
        #expect(
            tracker.handle(.polled(channel, confirmed: [0, 1, 2]), now: at(6_000))
                == [.confirmed(Ticket(0)), .confirmed(Ticket(1))])
        #expect(tracker.nextTick == nil && tracker.outstanding == 0)
    }

    /// Twice the time while nothing comes, at most ten seconds; from the start after a success.
    @Test func pollsGetRarerWhileNothingIsConfirmed() {
        var (tracker, channel) = tracker(2)
        var times: [UInt64] = []
        for _ in 0..<7 {
            let due = tracker.nextTick ?? at(0)
            times.append(due.milliseconds(since: at(0)))
            #expect(tracker.handle(.tick, now: due) == [.poll(channel, [0, 1])])
            #expect(tracker.handle(.polled(channel, confirmed: []), now: due) == [])
        }
        #expect(times == [1_000, 3_000, 7_000, 15_000, 25_000, 35_000, 45_000])
        _ = tracker.handle(.tick, now: at(55_000))
        _ = tracker.handle(.polled(channel, confirmed: [0]), now: at(55_000))
        #expect(tracker.nextTick == at(56_000))
    }

    @Test func noRefusalConfirmsAndSilenceEndsInTime() {
        var (tracker, channel) = tracker(wait: 60_000)
        var gaveUp: Tick?
        while let due = tracker.nextTick, gaveUp == nil {
            let effects = tracker.handle(.tick, now: due)
            if effects == [.unconfirmed(Ticket(0), .timeout)] { gaveUp = due }
            #expect(gaveUp != nil || effects == [.poll(channel, [0])])
            #expect(tracker.handle(.pollRefused(channel), now: due) == [])
        }
        #expect(gaveUp == at(60_000) && tracker.nextTick == nil)
        // A word that comes too late counts for nothing, and the channel carries nothing more.
        #expect(tracker.handle(.polled(channel, confirmed: [0]), now: at(61_000)) == [])
        #expect(tracker.channelForSend().channel != channel)
    }

    /// The lost answer may have been the one that said true: no use in waiting five minutes for another.
    @Test func aLostAnswerShortensTheWait() {
        var (tracker, channel) = tracker(2)
        _ = tracker.handle(.tick, now: at(1_000))
        #expect(tracker.handle(.pollLost(channel), now: at(2_000)) == [])
        #expect(tracker.handle(.accepted(Ticket(9), id: 2, on: channel), now: at(2_000)) == [])
        var effects: [AckTracker.Effect] = []
        while effects.isEmpty, let due = tracker.nextTick {
            effects = tracker.handle(.tick, now: due).filter { if case .poll = $0 { false } else { true } }
            effects += tracker.handle(.polled(channel, confirmed: []), now: due)
            #expect(due <= at(33_000))
        }
        // Only those that it asked for.
        #expect(effects == [.unconfirmed(Ticket(0), .connectionLost), .unconfirmed(Ticket(1), .connectionLost)])
        #expect(tracker.outstanding == 1)
    }

    @Test func aNewConnectionMeansANewChannelAndAPollAtOnce() {
        var (tracker, channel) = tracker(1)
        #expect(tracker.channelForSend() == (channel, false))
        #expect(tracker.handle(.connectionChanged(current: nil), now: at(100)) == [.poll(channel, [0])])
        let (other, isFresh) = tracker.channelForSend()
        #expect(other != channel && isFresh)
        // The same machine may be behind the new connection: then the old number is still good.
        #expect(tracker.handle(.polled(channel, confirmed: [0]), now: at(200)) == [.confirmed(Ticket(0))])
        // Losing it again and again does not make polls follow each other without a pause.
        _ = tracker.handle(.accepted(Ticket(1), id: 0, on: other), now: at(300))
        #expect(tracker.handle(.connectionChanged(current: nil), now: at(400)) == [.poll(other, [0])])
        #expect(tracker.handle(.pollLost(other), now: at(500)) == [])
        #expect(tracker.handle(.connectionChanged(current: nil), now: at(500)) == [])
        #expect(tracker.nextTick == at(2_500))
    }

    @Test func theConnectionThatASendOpenedKeepsItsChannel() {
        var tracker = AckTracker(AckTracker.Settings())
        let (channel, _) = tracker.channelForSend()
        #expect(tracker.handle(.connectionChanged(current: channel), now: at(0)) == [])
        #expect(tracker.channelForSend() == (channel, false))
    }

    /// Somebody else's true would pass for ours.
    @Test func aNumberGivenTwiceIsNobodys() {
        var (tracker, channel) = tracker(2)
        #expect(
            tracker.handle(.accepted(Ticket(5), id: 1, on: channel), now: at(10)) == [
                .unconfirmed(Ticket(1), .ambiguous), .unconfirmed(Ticket(5), .ambiguous),
            ])
        #expect(
            tracker.handle(.accepted(Ticket(6), id: 1, on: channel), now: at(20))
                == [.unconfirmed(Ticket(6), .ambiguous)])
        #expect(tracker.handle(.tick, now: at(1_000)) == [.poll(channel, [0])])
        #expect(tracker.handle(.polled(channel, confirmed: [0, 1]), now: at(1_100)) == [.confirmed(Ticket(0))])
    }

    /// Another indexer, or the same one after a restart, may have given the lost request the first number.
    @Test func aLostSendMakesTheFirstNumberDoubtful() {
        var (tracker, channel) = tracker(3)
        #expect(tracker.handle(.sendLost(on: channel), now: at(10)) == [.unconfirmed(Ticket(0), .ambiguous)])
        #expect(tracker.handle(.sendLost(on: channel), now: at(20)) == [])
        #expect(tracker.channelForSend().channel != channel)
        #expect(tracker.handle(.tick, now: at(1_000)) == [.poll(channel, [1, 2])])
        #expect(
            tracker.handle(.polled(channel, confirmed: [0, 1, 2]), now: at(1_100))
                == [.confirmed(Ticket(1)), .confirmed(Ticket(2))])
    }

    /// Behind a balancer that spreads, every request has a channel of its own, and then the same number is no matter.
    @Test func afterNumbersThatDoNotAscendEveryRequestHasAChannel() {
        var (tracker, first) = tracker(2)
        _ = tracker.handle(.accepted(Ticket(5), id: 0, on: first), now: at(10))
        var channels: Set<AckChannel> = [first]
        for number in UInt64(10)..<20 {
            let (channel, isFresh) = tracker.channelForSend()
            #expect(isFresh && channels.insert(channel).inserted)
            #expect(tracker.handle(.accepted(Ticket(number), id: 0, on: channel), now: at(20)) == [])
            #expect(tracker.handle(.polled(channel, confirmed: [0]), now: at(20)) == [])
        }
        #expect(tracker.handle(.tick, now: at(1_020)).count == 11)
    }

    @Test func earlierNumbersAreAskedForAtOnceAndNotForLong() {
        var tracker = AckTracker(AckTracker.Settings())
        let channel = tracker.recall()
        #expect(tracker.channelForSend().channel != channel)
        #expect(tracker.handle(.recalled(Ticket(0), id: 41, on: channel), now: at(0)) == [.poll(channel, [41])])
        #expect(tracker.handle(.recalled(Ticket(1), id: 7, on: channel), now: at(0)) == [])
        #expect(tracker.handle(.polled(channel, confirmed: [41]), now: at(50)) == [.confirmed(Ticket(0))])
        #expect(tracker.handle(.tick, now: at(1_050)) == [.poll(channel, [7])])
        #expect(tracker.handle(.polled(channel, confirmed: []), now: at(1_060)) == [])
        #expect(
            tracker.handle(.tick, now: at(30_000)) == [.unconfirmed(Ticket(1), .connectionLost)])
    }

    @Test func aChannelIsBounded() {
        var (tracker, channel) = tracker(128)
        let (other, isFresh) = tracker.channelForSend()
        #expect(other != channel && isFresh)
    }

    /// Lost answers, false ones, refusals, dead indexers, balancers of every kind, restarts: nothing is ever confirmed
    /// without the word for that very number, and everything ends.
    @Test func simulationConfirmsNothingFalsely() {
        var (resent, restarts, recalled) = (0, 0, 0)
        for seed in UInt64(0)..<1_500 {
            var simulation = AckSimulation(seed: seed)
            simulation.run()
            #expect(simulation.breaches.isEmpty, "seed \(seed): \(simulation.breaches.prefix(5))")
            resent += simulation.resent
            restarts += simulation.restarts
            recalled += simulation.recalled
        }
        #expect(resent > 5_000 && restarts > 500 && recalled > 500)
    }
}
