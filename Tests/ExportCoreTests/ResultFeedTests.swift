import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

/// Which results go to which targets, one step at a time.
@Suite struct ResultFeedTests {
    private let both = TargetMask(first: 2)
    private let none = TargetMask(bits: 0)

    private func sight(_ number: UInt64, settled: UInt32 = 0, exported: Bool = false, consistent: Bool = true)
        -> ResultFeed.Sight
    {
        ResultFeed.Sight(
            key: RecordKey(high: number, low: 1), isExported: exported, settled: TargetMask(bits: settled),
            isConsistent: consistent, createdAt: Int64(number) * 1_000)
    }

    /// A feed whose targets follow the watch, with nothing in hand.
    private func following() -> ResultFeed {
        var feed = ResultFeed(targetCount: 2)
        #expect(feed.next(hasRoom: both) == .begin)
        feed.listed()
        #expect(feed.next(hasRoom: both) == .follow)
        return feed
    }

    @Test func listedThenWatched() {
        var feed = ResultFeed(targetCount: 2)
        #expect(feed.backlog(of: 0) == (1, nil), "nobody knows yet")
        #expect(feed.next(hasRoom: none) == .rest)
        #expect(feed.next(hasRoom: both) == .begin)
        #expect(feed.list(sight(1), hasRoom: both) == .hand(both, settled: none))
        #expect(feed.list(sight(2, exported: true), hasRoom: both) == .skip)
        #expect(feed.list(sight(3, settled: 1), hasRoom: both) == .hand(TargetMask(1), settled: TargetMask(0)))
        #expect(feed.next(hasRoom: both) == .goOn && !feed.isInStep(0))
        feed.listed()
        #expect(feed.next(hasRoom: both) == .follow && feed.isInStep(0) && feed.isInStep(1))
        #expect(feed.backlog(of: 1) == (0, nil) && feed.inHandCount == 2)
        #expect(feed.watch(sight(1), hasRoom: both) == .skip, "it is in hand")
        #expect(feed.watch(sight(4), hasRoom: both) == .hand(both, settled: none))
    }

    /// To hand over what is known already takes no room; the others are not handed it for that.
    @Test func whatIsKnownIsHandedWithoutRoom() {
        var feed = ResultFeed(targetCount: 2)
        #expect(feed.next(hasRoom: TargetMask(0)) == .begin)
        #expect(feed.list(sight(1), hasRoom: TargetMask(0)) == .hand(TargetMask(0), settled: none))
        feed.search()
        #expect(feed.next(hasRoom: none) == .begin, "whoever had a list gets another one")
        #expect(!feed.isInStep(0) && feed.listeners.list.isEmpty)
        var known = sight(1)
        known.known = TargetMask(1)
        #expect(feed.list(known, hasRoom: none) == .hand(TargetMask(1), settled: none))
        #expect(feed.list(known, hasRoom: none) == .skip, "once")
        known = sight(2, settled: 2)
        known.known = TargetMask(1)
        #expect(feed.list(known, hasRoom: none) == .skip, "it says so already")
        // It says that it was given up, and it was delivered since.
        known.revived = TargetMask(1)
        #expect(feed.list(known, hasRoom: none) == .hand(TargetMask(1), settled: TargetMask(1)))
        #expect(feed.list(known, hasRoom: none) == .skip, "once, until that is written")
        #expect(feed.inHandCount == 2)
        feed.settled(known.key, at: TargetMask(1))
        #expect(feed.inHandCount == 1)
        feed.listed()
        #expect(!feed.isInStep(0) && !feed.isInStep(1) && feed.next(hasRoom: both) == .begin)
    }

    @Test func ownPatchesAreFoldedAway() {
        var feed = following()
        #expect(feed.watch(sight(1), hasRoom: both) == .hand(both, settled: none))
        feed.settled(sight(1).key, at: TargetMask(0))
        #expect(feed.watch(sight(1, settled: 1), hasRoom: both) == .skip, "the other one has it in hand")
        feed.settled(sight(1).key, at: TargetMask(1))
        #expect(feed.inHandCount == 0)
        #expect(feed.watch(sight(1), hasRoom: both) == .skip, "a view from before the patches")
        #expect(feed.watch(sight(1, settled: 1), hasRoom: both) == .skip, "a view from between them")
        #expect(feed.watch(sight(1, settled: 3, exported: true), hasRoom: both) == .skip)
    }

    @Test func statusThatDoesNotFollowIsWritten() {
        var feed = following()
        #expect(feed.watch(sight(1, settled: 3, consistent: false), hasRoom: both) == .complete)
        #expect(feed.watch(sight(2, settled: 3), hasRoom: both) == .skip, "given up somewhere, and said to be")
        #expect(feed.watch(sight(3, settled: 1), hasRoom: both) == .hand(TargetMask(1), settled: TargetMask(0)))
        #expect(feed.watch(sight(3, settled: 3, consistent: false), hasRoom: both) == .skip, "it will be")
    }

    @Test func aTargetWithoutRoomLagsAndDelaysNobody() {
        var feed = following()
        #expect(feed.watch(sight(1), hasRoom: TargetMask(0)) == .hand(TargetMask(0), settled: none))
        #expect(feed.isInStep(0) && !feed.isInStep(1))
        #expect(feed.backlog(of: 1) == (1, 1_000))
        #expect(feed.watch(sight(2), hasRoom: both) == .hand(TargetMask(0), settled: none), "in a pass of its own")
        #expect(feed.backlog(of: 1) == (2, 1_000))
        #expect(feed.next(hasRoom: TargetMask(0)) == .follow)
        #expect(feed.next(hasRoom: both) == .begin)
        feed.settled(sight(1).key, at: TargetMask(0))
        #expect(
            feed.list(sight(1), hasRoom: both) == .hand(TargetMask(1), settled: TargetMask(0)),
            "as listed before the patch")
        #expect(feed.list(sight(2), hasRoom: TargetMask(0)) == .wait, "the pass is for the other one alone")
        #expect(feed.watch(sight(3), hasRoom: both) == .hand(both, settled: none))
        #expect(feed.list(sight(2), hasRoom: both) == .hand(TargetMask(1), settled: none))
        feed.listed()
        #expect(feed.isInStep(1) && feed.backlog(of: 1) == (0, nil))
    }

    @Test func aPassThatMissedSomethingIsRepeated() {
        var feed = following()
        #expect(feed.watch(sight(1), hasRoom: TargetMask(0)) == .hand(TargetMask(0), settled: none))
        #expect(feed.next(hasRoom: both) == .begin)
        #expect(feed.watch(sight(2), hasRoom: TargetMask(0)) == .hand(TargetMask(0), settled: none))
        feed.listed()
        #expect(!feed.isInStep(1) && feed.next(hasRoom: both) == .begin)
    }

    @Test func whatIsGoneIsListedAnew() {
        var feed = following()
        feed.watchLost()
        #expect(!feed.isInStep(0) && feed.next(hasRoom: none) == .rest && feed.next(hasRoom: both) == .begin)
        feed.listLost()
        #expect(feed.next(hasRoom: both) == .begin)
        feed.watchLost()
        feed.listed()
        #expect(feed.isInStep(0), "the next watch begins with the list")
        #expect(feed.watch(sight(1), hasRoom: TargetMask(0)) == .hand(TargetMask(0), settled: none))
        #expect(feed.next(hasRoom: both) == .begin)
        feed.watchLost()
        feed.listed()
        #expect(!feed.isInStep(0) && feed.isInStep(1), "the list was for the other one")
    }

    @Test func aListThatStandsStillIsGivenUpForOthers() {
        var feed = following()
        #expect(feed.watch(sight(1), hasRoom: none) == .skip && !feed.isInStep(0) && !feed.isInStep(1))
        #expect(feed.next(hasRoom: TargetMask(0)) == .begin)
        #expect(feed.listeners == (TargetMask(0), TargetMask(0)) && feed.patient == TargetMask(0))
        #expect(feed.list(sight(1), hasRoom: TargetMask(1)) == .wait)
        #expect(feed.next(hasRoom: TargetMask(1)) == .goOn, "not yet")
        #expect(feed.next(hasRoom: TargetMask(0), mayTurn: true) == .goOn, "there is no need")
        #expect(feed.next(hasRoom: none, mayTurn: true) == .goOn, "there is no use")
        #expect(feed.next(hasRoom: TargetMask(1), mayTurn: true) == .begin)
        #expect(feed.list(sight(1), hasRoom: TargetMask(1)) == .hand(TargetMask(1), settled: none))
        feed.listed()
        #expect(feed.isInStep(1) && !feed.isInStep(0) && feed.next(hasRoom: both) == .begin)
    }

    @Test func whoLooksForSomethingListsOnceMore() {
        var feed = following()
        feed.search()
        #expect(feed.next(hasRoom: none) == .begin && feed.isInStep(0))
        #expect(feed.list(sight(1), hasRoom: both) == .skip, "the watch shows it")
        #expect(feed.next(hasRoom: both) == .goOn)
        feed.listed()
        #expect(feed.isInStep(0) && feed.isInStep(1) && feed.next(hasRoom: both) == .follow)
    }

    @Test func aListGoesOnPastWhatOnlyAFullTargetWants() {
        var feed = ResultFeed(targetCount: 2)
        #expect(feed.next(hasRoom: both) == .begin)
        let second = TargetMask(1)
        #expect(
            feed.list(sight(1, settled: 2), hasRoom: second) == .skip, "the first one has no room, the second has it")
        #expect(feed.list(sight(2), hasRoom: second) == .hand(second, settled: none))
        feed.listed()
        #expect(!feed.isInStep(0) && feed.isInStep(1))
        #expect(feed.backlog(of: 0) == (2, 1_000))
    }

    @Test func patienceIsATwentiethOfTheTime() {
        var patience = FeedPatience()
        var waited: UInt64 = 0
        var now = Tick(nanoseconds: 0)
        for _ in 0..<60_000 {
            if patience.waits(isShort: true, now: now) { waited += 10 }
            now = now.adding(milliseconds: 10)
        }
        #expect((28_000...32_000).contains(waited), "\(waited) of 600000")
        for _ in 0..<100 {
            let isWaiting = patience.waits(isShort: false, now: now)
            #expect(!isWaiting)
            now = now.adding(milliseconds: 1_000)
        }
        let waits = patience.waits(isShort: true, now: now)
        let waitsOn = patience.waits(isShort: true, now: now.adding(milliseconds: 600))
        #expect(waits && !waitsOn)
    }

    @Test func theOverlayIsBounded() {
        var feed = following()
        feed.settled(sight(1).key, at: both)
        for number in 2...UInt64(ResultFeed.overlayCount) { feed.settled(sight(number).key, at: both) }
        #expect(feed.watch(sight(1), hasRoom: both) == .skip)
        for number in 1...UInt64(ResultFeed.overlayCount) * 2 { feed.settled(sight(number + 1 << 20).key, at: both) }
        #expect(feed.watch(sight(1), hasRoom: both) == .hand(both, settled: none), "twice, and not lost")
    }

    /// Thousands of histories: lists that show a snapshot, a watch that lags and is lost, targets that take nothing for a
    /// while, patches that are seen late.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func histories(part: UInt64) {
        for seed in part * 1_000..<part * 1_000 + 500 {
            var world = ResultFeedWorld(seed: seed)
            let trouble = world.run()
            #expect(trouble == nil, "seed \(seed)")
            if trouble != nil { return }
        }
    }
}
