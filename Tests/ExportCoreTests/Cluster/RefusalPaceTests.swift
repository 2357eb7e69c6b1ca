import Model
import Testing

@testable import ExportCore

@Suite struct RefusalPaceTests {
    private func tick(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: 0).adding(milliseconds: milliseconds) }

    @Test func aFloodIsToldByItsNumber() {
        var pace = RefusalPace()
        let told = (0..<1_000).filter { pace.refused("flood", now: tick(UInt64($0))) }
        #expect(told == Array(0..<RefusalPace.perPeriod))
        // Another kind is not hidden by it.
        let isRareTold = pace.refused("rare", now: tick(1_000))
        let early = pace.due(now: tick(9_999))
        let due = pace.due(now: tick(10_000))
        let late = pace.due(now: tick(20_000))
        #expect(isRareTold && early == [] && due == [RefusalPace.Withheld(kind: "flood", count: 990)] && late == [])
        let isToldAgain = pace.refused("flood", now: tick(20_000))
        #expect(isToldAgain)
    }

    @Test func kindsAreBounded() {
        var pace = RefusalPace()
        let told = (0..<10_000).filter { pace.refused("kind \($0)", now: tick(0)) }.count
        let due = pace.due(now: tick(10_000))
        #expect(told == 64 + RefusalPace.perPeriod)
        #expect(due == [RefusalPace.Withheld(kind: "other", count: UInt64(10_000 - told))])
    }
}
