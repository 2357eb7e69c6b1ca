import Model
import Testing

@testable import Coordinator

/// What is told of statuses that are not taken.
@Suite struct StatusTroublesTests {
    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    private func words(_ name: String, _ why: String = "policy") -> String {
        "patch siderealproberesults probes/\(name): 403 Forbidden: \"\(name)\" is refused by a \(why)"
    }

    @Test func aCauseThatMeetsEveryResultIsToldOnceAndCountedAlways() {
        var troubles = StatusTroubles()
        #expect(troubles.refused(words("r-1"), name: "r-1", now: at(0))?.count == 1)
        for number in 2...1_000 {
            #expect(troubles.refused(words("r-\(number)"), name: "r-\(number)", now: at(UInt64(number))) == nil)
        }
        #expect(troubles.refused == 1_000 && troubles.last == words("r-1000"))
        #expect(troubles.refused(words("r-1", "quota"), name: "r-1", now: at(1_001))?.count == 1, "another cause")
        let later = troubles.refused(words("r-9"), name: "r-9", now: at(StatusTroubles.silenceMilliseconds))
        #expect(later?.count == 1_000, "it is still there: those since the first are counted")
        #expect(troubles.refused(words("r-10"), name: "r-10", now: at(StatusTroubles.silenceMilliseconds + 1)) == nil)
    }

    @Test func causesWithoutEndAreOne() {
        var troubles = StatusTroubles()
        let told = (0..<1_000).count { number in
            troubles.refused("why \(number)", name: "r", now: at(UInt64(number))) != nil
        }
        #expect(told == StatusTroubles.mostCauses + 1)
        #expect(troubles.refused == 1_000)
        // Those that do not come any more make room.
        #expect(troubles.refused("why 0", name: "r", now: at(StatusTroubles.silenceMilliseconds + 20_000))?.count == 1)
        for number in 20_000..<20_000 + StatusTroubles.mostCauses - 2 {
            let now = at(StatusTroubles.silenceMilliseconds + UInt64(number) + 1)
            #expect(troubles.refused("why \(number)", name: "r", now: now)?.count == 1)
        }
    }

    @Test func labelsAreFew() {
        #expect(Set((0...999).map { StatusTroubles.label($0) }).count == 15)
        #expect(StatusTroubles.label(422) == "422" && StatusTroubles.label(418) == "other")
        #expect(StatusTroubles.label(nil) == "none")
    }
}
