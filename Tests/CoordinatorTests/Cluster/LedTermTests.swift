import Model
import Testing
import Threading

@testable import Coordinator

@Suite struct LedTermTests {
    /// A term may last for months, with hundreds of writes a second.
    @Test func whatIsDoneIsForgotten() async {
        let term = LedTerm(number: 1, holder: "c0", began: SystemClock.now())
        for _ in 0..<1_000 { term.adopt {} }
        while term.adopted > 0 { await Task.yield() }
        term.end()
    }

    @Test func whatIsNotDoneEndsWithTheTerm() async {
        let term = LedTerm(number: 1, holder: "c0", began: SystemClock.now())
        term.adopt { while !Task.isCancelled { await Task.yield() } }
        #expect(term.adopted == 1)
        term.end()
        while term.adopted > 0 { await Task.yield() }
    }

    @Test func aTroubleIsToldOnceAMinute() {
        var complaints = Complaints()
        let at = { Tick(nanoseconds: 0).adding(milliseconds: $0) }
        let said: [(String, UInt64, Bool)] = [
            ("a", 0, true), ("b", 1, true), ("a", 2, false), ("b", 59_999, false), ("a", 60_000, true),
        ]
        for (text, moment, isNew) in said {
            let isTold = complaints.isNew(text, now: at(moment))
            #expect(isTold == isNew, "\(text) after \(moment) ms")
        }
    }
}
