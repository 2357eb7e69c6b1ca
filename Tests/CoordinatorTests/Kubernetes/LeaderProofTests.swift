import ExportCore
import Model
import Testing

@testable import Coordinator

/// A proof of which an expectation can ask something.
private final class Proof {
    private var proof: LeaderProof

    init(lastsMilliseconds: UInt64) { proof = LeaderProof(lastsMilliseconds: lastsMilliseconds) }

    func wrote(_ record: LeaseRecord, begun: Tick) { proof.wrote(record, begun: begun) }
    func saw(_ record: LeaseRecord?, begun: Tick) { proof.saw(record, begun: begun) }
    func holds(_ fence: Fence, now: Tick) -> Bool { proof.holds(fence, now: now) }
    func admits(_ fence: Fence, _ record: LeaseRecord?) -> Bool { proof.admits(fence, record) }
}

@Suite struct LeaderProofTests {
    private func tick(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: 0).adding(milliseconds: milliseconds) }
    private let a1 = Fence(holder: "a", term: 1)

    @Test func aWriteProvesForItsTimeFromWhenItBegan() {
        let proof = Proof(lastsMilliseconds: 10)
        #expect(!proof.holds(a1, now: tick(0)))
        proof.wrote(leaseRecord("a", 1), begun: tick(100))
        #expect(proof.holds(a1, now: tick(109)))
        #expect(!proof.holds(a1, now: tick(110)))
        #expect(!proof.holds(Fence(holder: "b", term: 1), now: tick(101)))
        #expect(!proof.holds(Fence(holder: "a", term: 2), now: tick(101)))
        // The answer to an earlier one comes late, and changes nothing.
        proof.wrote(leaseRecord("a", 1), begun: tick(95))
        #expect(proof.holds(a1, now: tick(109)))
    }

    @Test func givingBackEndsIt() {
        for holder in ["", LeaseRecord.vacant] {
            let proof = Proof(lastsMilliseconds: 10)
            proof.wrote(leaseRecord("a", 1), begun: tick(100))
            proof.wrote(leaseRecord(holder, 1), begun: tick(101))
            #expect(!proof.holds(a1, now: tick(102)))
            #expect(!proof.admits(Fence(holder: holder, term: 1), leaseRecord(holder, 1)))
        }
    }

    @Test func whatIsReadTakesAProofAwayAndGivesNoneThatLasts() {
        let proof = Proof(lastsMilliseconds: 10)
        proof.saw(leaseRecord("a", 1), begun: tick(100))
        #expect(!proof.holds(a1, now: tick(100)))
        #expect(proof.admits(a1, leaseRecord("a", 1)))
        #expect(!proof.admits(a1, leaseRecord("a", 2)))
        #expect(!proof.admits(a1, nil))
        proof.wrote(leaseRecord("a", 1), begun: tick(200))
        proof.saw(leaseRecord("b", 2), begun: tick(199))
        proof.saw(leaseRecord("a", 1), begun: tick(201))
        #expect(proof.holds(a1, now: tick(202)))
        proof.saw(leaseRecord("b", 2), begun: tick(202))
        #expect(!proof.holds(a1, now: tick(203)))
        proof.wrote(leaseRecord("a", 1), begun: tick(203))
        proof.saw(nil, begun: tick(204))
        #expect(!proof.holds(a1, now: tick(205)))
    }

    /// A request of term 1 that was held up, when somebody has set the lease back.
    @Test func anEarlierTermIsNotLetThroughAgain() {
        let proof = Proof(lastsMilliseconds: 10)
        #expect(proof.admits(a1, leaseRecord("a", 1)))
        #expect(proof.admits(Fence(holder: "a", term: 3), leaseRecord("a", 3)))
        #expect(!proof.admits(a1, leaseRecord("a", 1)))
        proof.wrote(leaseRecord("a", 1), begun: tick(0))
        #expect(!proof.holds(a1, now: tick(1)))
    }
}
