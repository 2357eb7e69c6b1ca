import KubernetesAPI
import Model
import Protocol
import Testing

@testable import Coordinator
@testable import ExportCore

/// What a leader keeps of results in its hand, and until when.
@Suite struct KubernetesResultsHandsTests {
    private let hands = KubernetesResultsHands(targets: ["a", "b"])

    private func at(_ seconds: UInt64) -> Tick { Tick(nanoseconds: seconds * 1_000_000_000) }

    private func batch(_ number: UInt64, revision: UInt64 = 7) throws -> (ObjectBatch, ObjectEntry, StatusRound.Seen) {
        let uid = KubernetesStatusText.uid(key(number))
        let batch = try ObjectBatch(
            object: Array(
                (#"{"metadata":{"name":"r-\#(number)","namespace":"n","resourceVersion":"\#(revision)","uid":"\#(uid)"},"#
                    + #""spec":{"audit":{"exportStatus":"Pending"}}}"#).utf8))
        let entry = try #require(batch.entries.first)
        return (batch, entry, KubernetesStatusText.seen(batch, entry, targets: hands.targets))
    }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1 << 63 | number) }

    private func hand(_ number: UInt64, to targets: UInt32) throws {
        let (batch, entry, seen) = try batch(number)
        hands.hand(entry.key, batch, entry, seen, to: TargetMask(bits: targets), now: at(0))
    }

    private func facts(_ target: Int, _ kind: Outcomes.Kind, _ number: UInt64) -> StatusEntry {
        .facts(Dispatch.Facts(target: target, kind: kind, reason: "", keys: [key(number)], lengths: [1]))
    }

    private func write(_ entries: [StatusEntry]) -> [StatusRound.Step] {
        var writing = hands.writing(entries)
        var ended: [(RecordKey, StatusRound.End)] = []
        var steps: [StatusRound.Step] = []
        while let step = writing.round.next(&ended, besides: hands.foretold) {
            steps.append(step)
            if case .patch(let key, let wanted) = step, wanted.status.state == .exported {
                hands.exported(key, wanted.status, asked: at(0))
            }
            guard case .patch(let key, _) = step, let end = writing.round.answer(key, .written(version: "9")) else {
                continue
            }
            hands.ended(key, end, revision: 9)
        }
        #expect(hands.finish(writing, writing.round, now: at(1)).isDone)
        return steps
    }

    @Test func aResultStaysUntilEachTargetThatHasItIsDone() throws {
        try hand(1, to: 3)
        #expect(write([facts(0, .delivered, 1), facts(1, .failed, 1)]).count == 1, "one patch for both")
        #expect(hands.count == 1 && hands.takeNews().map(\.1) == [TargetMask(0)])
        guard case .patch(_, let wanted)? = write([facts(1, .delivered, 1)]).first else {
            Issue.record("nothing is written")
            return
        }
        #expect(wanted.version == "9" && wanted.status.state == .exported, "it goes on where the patch before ended")
        #expect(hands.count == 0 && hands.takeNews().map(\.1) == [TargetMask(1)])
    }

    /// What comes while the round of another target is under way goes into its patches, and needs none of its own.
    @Test func whatIsForetoldIsWrittenAlong() throws {
        try hand(1, to: 3)
        try hand(2, to: 3)
        let later = [facts(1, .delivered, 1), facts(1, .failed, 2)]
        hands.foresee(later)
        let steps = write([facts(0, .delivered, 1), facts(0, .delivered, 2)])
        guard case .patch(_, let first)? = steps.first, case .patch(_, let second)? = steps.last else {
            Issue.record("nothing is written")
            return
        }
        #expect(first.status.state == .exported && second.status.state == .failed)
        #expect(second.status.word.delivered == TargetMask(0) && second.status.word.failed == TargetMask(1))
        #expect(hands.count == 2, "what is not asked for yet is not given back")
        #expect(hands.takeNews().map(\.1) == [TargetMask(0), TargetMask(0)])
        #expect(write(later).isEmpty && hands.count == 1 && hands.takeNews().map(\.1) == [TargetMask(1)])
        hands.foresee([facts(0, .delivered, 7)])
        #expect(hands.count == 1, "of strangers nothing is kept")
    }

    @Test func aRoundThatFailsKeepsEverything() throws {
        try hand(1, to: 1)
        let writing = hands.writing([facts(0, .delivered, 1)])
        #expect(!hands.finish(writing, writing.round, now: at(1)).isDone)
        #expect(writing.round.count == 1 && hands.count == 1 && hands.takeNews().isEmpty)
    }

    @Test func whatAFailedRoundHasWrittenIsNotAskedForAgain() throws {
        for number in UInt64(1)...3 { try hand(number, to: 3) }
        var told: [StatusEntry] = []
        for number in UInt64(1)...3 {
            told += [facts(0, .delivered, number), facts(1, number == 2 ? .failed : .delivered, number)]
        }
        var writing = hands.writing(told)
        var ended: [(RecordKey, StatusRound.End)] = []
        while let step = writing.round.next(&ended) {
            guard case .patch(let key, let wanted) = step else { continue }
            let isExported = wanted.status.state == .exported
            let answer: StatusRound.Answer =
                key == self.key(3) ? .failed : .written(version: isExported ? nil : "9")
            guard let end = writing.round.answer(key, answer) else { continue }
            hands.ended(key, end, revision: isExported ? 0 : 9)
        }
        #expect(writing.round.isStopped && hands.count == 3)
        for number in UInt64(1)...3 {
            // A view from before all that.
            let (_, entry, seen) = try batch(number)
            hands.saw(entry.key, seen, entry.revision)
        }
        let steps = write(told)
        #expect(steps.count == 1, "\(steps)")
        guard case .patch(key(3), _)? = steps.first else {
            Issue.record("\(steps)")
            return
        }
        #expect(hands.count == 1, "one waits for its second target")
    }

    @Test func whatIsGoneIsForgottenOnceItIsSettled() throws {
        try hand(1, to: 3)
        hands.ended(key(1), .gone, revision: 0)
        #expect(write([facts(0, .delivered, 1)]).isEmpty && hands.count == 1)
        #expect(write([facts(1, .dead, 1)]).isEmpty && hands.count == 0)
    }

    @Test func whoWasDeliveredOutOfHandIsLookedForOnce() throws {
        #expect(write([facts(0, .dead, 1), facts(0, .delivered, 2)]).isEmpty)
        #expect(hands.takeSearch() && !hands.takeSearch() && hands.strangers == [key(2)])
        #expect(hands.isRevived(key(2), dead: TargetMask(0)) && !hands.isRevived(key(2), dead: TargetMask(1)))
        let (batch, entry, seen) = try batch(2)
        hands.complete(entry.key, batch, entry, seen, now: at(0))
        #expect(hands.strangers.isEmpty)
        guard case .patch(key(2), let wanted)? = write([.finished(source: 2)]).first else {
            Issue.record("nothing is written")
            return
        }
        #expect(wanted.status.word.delivered == TargetMask(0) && hands.count == 0)
        #expect(write([facts(0, .delivered, 2)]).isEmpty)
        hands.forget([key(2)])
        #expect(hands.strangers.isEmpty)
    }

    /// A worker tells again what was written a moment ago.
    @Test func whatWasWrittenOfLateIsNoStranger() throws {
        try hand(1, to: 1)
        _ = write([facts(0, .delivered, 1)])
        #expect(write([facts(0, .delivered, 1)]).isEmpty && hands.strangers.isEmpty && !hands.takeSearch())
    }

    @Test func strangersAreBounded() {
        for number in 0..<UInt64(KubernetesResultsHands.mostStrangers) + 100 {
            let writing = hands.writing([facts(0, .delivered, number)])
            #expect(number > 0 || hands.strangers.isEmpty, "not before it is written")
            #expect(hands.finish(writing, writing.round, now: at(1)).isDone)
        }
        #expect(hands.strangers.count == KubernetesResultsHands.mostStrangers && hands.takeNote() != nil)
    }
}
