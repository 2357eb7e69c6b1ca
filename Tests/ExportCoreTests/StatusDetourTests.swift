import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

/// Which results are put aside, and when they are tried again.
@Suite struct StatusDetourTests {
    private let most = StatusDetour.mostFailures

    private func at(_ seconds: UInt64) -> Tick { Tick(nanoseconds: seconds * 1_000_000_000) }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1) }

    /// The first result is left by so many rounds; whether it is aside then.
    private func leave(
        _ detour: inout StatusDetour, times: Int, amongSuccess: Bool, isAnswered: Bool = true
    ) -> Bool {
        var isAside = false
        for _ in 0..<times {
            isAside = detour.left(key(1), amongSuccess: amongSuccess, isAnswered: isAnswered, now: at(0))
        }
        return isAside
    }

    @Test func oneIsPutAsideForItsOwnSake() {
        var detour = StatusDetour()
        #expect(leave(&detour, times: 100, amongSuccess: false) == false, "nobody could be written")
        #expect(detour.isSuspect(key(1)) && detour.hasSuspects && detour.count == 0)
        #expect(leave(&detour, times: 1, amongSuccess: true) == false)
        // Others were written without it: from here on it is its own trouble, but for silence.
        #expect(leave(&detour, times: 100, amongSuccess: false, isAnswered: false) == false)
        #expect(leave(&detour, times: most - 2, amongSuccess: false) == false)
        #expect(leave(&detour, times: 1, amongSuccess: false) == true)
        #expect(detour.isAside(key(1)) && detour.count == 1 && !detour.hasSuspects)
    }

    @Test func silenceAmongSuccessCounts() {
        var detour = StatusDetour()
        #expect(leave(&detour, times: most - 1, amongSuccess: true, isAnswered: false) == false)
        #expect(leave(&detour, times: 1, amongSuccess: true, isAnswered: false) == true)
    }

    @Test func whatWasWrittenBeginsAnew() {
        var detour = StatusDetour()
        #expect(leave(&detour, times: most - 1, amongSuccess: true) == false)
        detour.settled(key(1), now: at(1))
        #expect(!detour.isSuspect(key(1)) && !detour.hasSuspects)
        #expect(leave(&detour, times: most - 1, amongSuccess: true) == false)
        #expect(leave(&detour, times: 1, amongSuccess: true) == true)
    }

    @Test func pausesDoubleUpToABound() {
        var detour = StatusDetour()
        for second in [0, 3] as [UInt64] { #expect(detour.putAside(key(1), now: at(second)) == true) }
        #expect(detour.count == 1)
        var now = at(0)
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] as [UInt64] {
            #expect(detour.takeDue(now: now.adding(milliseconds: pause * 1_000 - 1)).isEmpty, "after \(pause) s")
            now = now.adding(milliseconds: pause * 1_000)
            #expect(detour.takeDue(now: now) == [key(1)])
            #expect(detour.takeDue(now: now.adding(milliseconds: 1_000_000)).isEmpty, "it is being tried")
            detour.failed(key(1), now: now)
        }
    }

    @Test func aFewAreTriedTogetherTheLongestDueFirst() {
        var detour = StatusDetour()
        for number in 0..<20 as Range<UInt64> { #expect(detour.putAside(key(100 - number), now: at(number)) == true) }
        let tries = (0..<4).map { _ in detour.takeDue(now: at(100)).map(\.high) }
        let first: [UInt64] = [100, 99, 98, 97, 96, 95, 94, 93]
        #expect(tries == [first, first.map { $0 - 8 }, [84, 83, 82, 81], []])
    }

    /// What hindered one may have hindered them all, and be mended.
    @Test func oneThatIsWrittenBringsTheOthersSoon() {
        var detour = StatusDetour()
        for number in 1...3 as ClosedRange<UInt64> { #expect(detour.putAside(key(number), now: at(0)) == true) }
        #expect(detour.takeDue(now: at(5)).count == 3)
        for number in 1...2 as ClosedRange<UInt64> { detour.failed(key(number), now: at(5)) }
        #expect(detour.putAside(key(4), now: at(1).adding(milliseconds: 500)) == true)
        detour.settled(key(3), now: at(6))
        #expect(detour.count == 3 && !detour.isSuspect(key(3)))
        #expect(detour.takeDue(now: at(6).adding(milliseconds: 500)) == [key(4)], "that was sooner still")
        #expect(detour.takeDue(now: at(6).adding(milliseconds: 999)).isEmpty)
        #expect(detour.takeDue(now: at(7)) == [key(1), key(2)])
    }

    @Test func theirNumberIsBounded() {
        var detour = StatusDetour()
        for number in 0..<UInt64(StatusDetour.most) { #expect(detour.putAside(key(number), now: at(0)) == true) }
        #expect(detour.putAside(key(1 << 40), now: at(0)) == false && !detour.isAside(key(1 << 40)))
        detour.settled(key(7), now: at(1))
        #expect(detour.putAside(key(1 << 40), now: at(1)) == true)
    }
}
