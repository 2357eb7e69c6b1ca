import KubernetesAPI
import Model
import Protocol
import Testing

@testable import Coordinator
@testable import ExportCore

/// Results whose status the API server does not take: they hold up nobody, and are not forgotten.
@Suite struct StatusAsideTests {
    private let hands = KubernetesResultsHands(targets: ["a", "b"])
    private let made: Int64 = 1_700_000_000_000

    private func at(_ seconds: UInt64) -> Tick { Tick(nanoseconds: seconds * 1_000_000_000) }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1 << 63 | number) }

    private func hand(_ numbers: Range<UInt64>, to targets: UInt32 = 1) throws {
        for number in numbers {
            let uid = KubernetesStatusText.uid(key(number))
            let batch = try ObjectBatch(
                object: Array(
                    (#"{"metadata":{"name":"r-\#(number)","namespace":"n","resourceVersion":"7","uid":"\#(uid)","#
                        + #""creationTimestamp":"\#(StoreText.time(made))"},"spec":{"audit":{"exportStatus":"Pending"}}}"#)
                        .utf8))
            let entry = try #require(batch.entries.first)
            let seen = KubernetesStatusText.seen(batch, entry, targets: hands.targets)
            hands.hand(entry.key, batch, entry, seen, to: TargetMask(bits: targets), now: at(0))
        }
    }

    private func facts(_ numbers: Range<UInt64>, _ target: Int = 0) -> StatusEntry {
        .facts(
            Dispatch.Facts(
                target: target, kind: .delivered, reason: "", keys: numbers.map(key), lengths: numbers.map { _ in 1 }))
    }

    /// Carries a round out; the answer to patches of `bad` ones, and whom was asked about.
    private func carryOut(
        _ writing: KubernetesResultsHands.Writing, bad: Range<UInt64>, _ answer: StatusRound.Answer = .troubled
    ) -> (round: StatusRound, asked: [UInt64]) {
        var (round, asked): (StatusRound, [UInt64]) = (writing.round, [])
        var ended: [(RecordKey, StatusRound.End)] = []
        while let step = round.next(&ended, besides: hands.foretold) {
            switch step {
            case .read(let key):
                _ = round.answer(key, .found(StatusRound.Seen(version: "7", status: ResultStatus())))
            case .patch(let key, _):
                asked.append(key.high)
                let answer = bad.contains(key.high) ? answer : .written(version: "9")
                if let end = round.answer(key, answer) { hands.ended(key, end, revision: 9) }
            }
        }
        return (round, asked)
    }

    /// Rounds until all of `entries` counts as written; nil: it never does.
    private func rounds(
        _ entries: [StatusEntry], bad: Range<UInt64>, _ answer: StatusRound.Answer = .troubled, most: Int = 400
    ) -> Int? {
        (1...most).first { _ in
            let writing = hands.writing(entries)
            return hands.finish(writing, carryOut(writing, bad: bad, answer).round, now: at(10)).isDone
        }
    }

    private func told(_ seconds: UInt64) -> (count: UInt64, age: UInt64) {
        hands.unwritten(.init(now: at(seconds), wall: made + Int64(seconds) * 1_000))[0]
    }

    @Test(arguments: [StatusRound.Answer.troubled, .conflict])
    func oneThatFailsHoldsUpNobody(answer: StatusRound.Answer) throws {
        try hand(1..<101)
        let coming = facts(50..<101)
        hands.foresee([facts(1..<50), coming])
        let count = try #require(rounds([facts(1..<50)], bad: 1..<2, answer))
        // Others go along to show that the server takes something.
        #expect(count == StatusDetour.mostFailures && hands.asideCount == 1)
        #expect(rounds([coming], bad: 1..<2) == 1)
        #expect(hands.count == 1 && hands.takeNews().count == 99, "the feed takes it for in hand")
    }

    @Test func aWholeBatchThatFailsHoldsUpNobody() throws {
        try hand(0..<1_400)
        let (bad, good) = (facts(0..<300), facts(300..<1_400))
        hands.foresee([bad, good])
        let count = try #require(rounds([bad], bad: 0..<300))
        #expect(count <= 60 && hands.asideCount == 300)
        #expect(rounds([good], bad: 0..<300) == 1)
    }

    /// While nothing can be written, it is not one object's trouble.
    @Test func aServerThatFailsPutsNobodyAside() throws {
        try hand(1..<101)
        hands.foresee([facts(1..<101)])
        for _ in 0..<50 {
            let writing = hands.writing([facts(1..<90)])
            let (round, asked) = carryOut(writing, bad: 0..<200)
            #expect(asked.count == StatusRound.mostTroubled, "it is spared")
            #expect(!hands.finish(writing, round, now: at(10)).isDone)
        }
        #expect(hands.asideCount == 0)
        #expect(rounds([facts(1..<90)], bad: 0..<0) == 1)
    }

    @Test func whatIsAsideAgesAndIsTriedAgain() throws {
        try hand(1..<3)
        hands.foresee([facts(1..<3)])
        #expect(told(20).count == 2 && told(20).age == 20_000, "until it is written, it is not exported")
        #expect(rounds([facts(1..<3)], bad: 1..<2, .refused) == 1, "what is refused is aside at once")
        #expect(told(900).count == 1 && told(900).age == 900_000)
        #expect(hands.writingAside(now: at(14)) == nil)
        let first = try #require(hands.writingAside(now: at(15)))
        #expect(hands.writingAside(now: at(15)) == nil, "one try at a time")
        hands.finishAside(first, carryOut(first, bad: 1..<2, .refused).round, now: at(16))
        #expect(hands.writingAside(now: at(25)) == nil && told(900).count == 1)
        let second = try #require(hands.writingAside(now: at(26)))
        _ = hands.takeNews()
        hands.finishAside(second, carryOut(second, bad: 0..<0).round, now: at(27))
        #expect(told(900).count == 0 && hands.count == 0 && hands.asideCount == 0)
        #expect(hands.takeNews().map(\.0) == [key(1)], "now the feed may forget it")
    }

    /// What is told of one that is aside is written with it, also what comes while it is being written.
    @Test func whatComesMeanwhileIsWrittenToo() throws {
        try hand(1..<2, to: 3)
        hands.foresee([facts(1..<2)])
        #expect(rounds([facts(1..<2)], bad: 1..<2, .refused) == 1)
        let late = facts(1..<2, 1)
        let aside = try #require(hands.writingAside(now: at(60)))
        let round = carryOut(aside, bad: 0..<0).round
        // Told after the patch has left.
        hands.foresee([late])
        let writing = hands.writing([late])
        hands.finishAside(aside, round, now: at(61))
        #expect(!hands.finish(writing, writing.round, now: at(61)).isDone, "nobody has written it")
        #expect(rounds([late], bad: 0..<0) == 1 && hands.count == 0)
    }

    @Test func theirNumberIsBounded() throws {
        let most = UInt64(StatusDetour.most)
        try hand(0..<most + 10)
        hands.foresee([facts(0..<most + 10)])
        #expect(rounds([facts(0..<most + 10)], bad: 0..<most + 10, .refused) == 1)
        #expect(hands.count == Int(most) && hands.asideCount == most + 10)
        #expect(told(500).count == most + 10 && told(500).age == 500_000, "they are not forgotten")
    }
}
