import Model
import Testing

@testable import KubernetesAPI

/// Since when a reader is not told what it should be.
@Suite struct FeedHealthTests {
    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: 0).adding(milliseconds: milliseconds) }

    @Test func aListThatWorksSaysNothingOfTheWatch() {
        var health = FeedHealth()
        #expect(health.standing(at(0)) == ObjectFeed.Standing(failingSince: nil, isWatching: false))
        health.listFailed(at(100))
        health.watchEnded(isFailure: true, at(200))
        health.listFailed(at(300))
        #expect(health.standing(at(400)).failingSince == at(100), "since the first failure")
        health.listed()
        #expect(health.standing(at(500)).failingSince == at(200))
        health.watchOpened(at(600))
        health.watchTold()
        #expect(health.standing(at(601)) == ObjectFeed.Standing(failingSince: nil, isWatching: true))
        health.listFailed(at(700))
        #expect(health.standing(at(800)).failingSince == at(700), "and the other way round")
    }

    /// A server with nothing to tell need not say so: silence on a watch that is open is no failure.
    @Test func aWatchThatStaysOpenWorksThoughItTellsNothing() {
        var health = FeedHealth()
        health.watchOpened(at(0))
        health.watchEnded(isFailure: true, at(90_000))
        #expect(health.standing(at(91_000)) == ObjectFeed.Standing(failingSince: at(90_000), isWatching: false))
        health.watchOpened(at(91_000))
        #expect(health.standing(at(92_999)).failingSince == at(90_000))
        #expect(health.standing(at(93_000)) == ObjectFeed.Standing(failingSince: nil, isWatching: true))
        // Silent again, and again no answer: that is another failure, not the one from before.
        health.watchEnded(isFailure: true, at(181_000))
        #expect(health.standing(at(181_500)).failingSince == at(181_000))
    }

    /// One that breaks as soon as it is open has not worked, however often it is opened.
    @Test func watchesThatBreakAtOnceFailSinceTheFirst() {
        var health = FeedHealth()
        for turn in 0..<100 as Range<UInt64> {
            health.watchOpened(at(turn * 3_000))
            health.watchEnded(isFailure: true, at(turn * 3_000 + 1_999))
        }
        #expect(health.standing(at(300_000)).failingSince == at(1_999))
        health.watchOpened(at(300_000))
        health.watchEnded(isFailure: false, at(300_100))
        #expect(health.standing(at(300_200)).failingSince == nil, "ended in good order")
    }

    /// When another watch is asked for, the one before says nothing more, whatever it had come to.
    @Test func aWatchThatIsLeftCounts() {
        var health = FeedHealth()
        health.watchEnded(isFailure: true, at(0))
        health.watchOpened(at(1_000))
        health.watchLeft(at(2_000))
        #expect(health.standing(at(10_000)) == ObjectFeed.Standing(failingSince: at(0), isWatching: false))
        health.watchOpened(at(11_000))
        health.watchLeft(at(13_000))
        #expect(health.standing(at(13_000)) == ObjectFeed.Standing(failingSince: nil, isWatching: false))
    }
}
