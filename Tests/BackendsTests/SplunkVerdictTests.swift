import ExportCore
import HTTPClient
import Model
import Testing

@testable import Backends

@Suite struct SplunkVerdictTests {
    private func of(_ response: HTTPResponse, count: Int = 10) -> Verdict {
        SplunkVerdict.of(response, count: count, at: "soc (https://siem:8088)")
    }

    /// Every code of Splunk's table, with the status it comes with.
    @Test(arguments: [
        (0, 200, "delivered"), (17, 200, "delivered"), (24, 200, "delivered, slow down"),
        (25, 200, "delivered, slow down"), (8, 500, "retry"), (9, 503, "retry"), (18, 503, "retry"),
        (19, 503, "retry"), (20, 503, "retry"), (23, 503, "retry"), (26, 429, "retry"), (27, 429, "retry"),
        (1, 403, "configuration"), (4, 403, "configuration"), (2, 401, "configuration"), (3, 401, "configuration"),
        (7, 400, "configuration"), (10, 400, "configuration"), (11, 400, "configuration"),
        (14, 400, "configuration"), (16, 400, "configuration"), (21, 400, "configuration"),
        (22, 400, "configuration"), (5, 400, "poison"), (6, 400, "poison"), (12, 400, "poison"), (13, 400, "poison"),
        (15, 400, "poison"),
    ]) func everyCode(code: Int, status: Int, expected: String) throws {
        let verdict = of(answer(status, #"{"text":"Said so","code":\#(code)}"#))
        #expect(kind(verdict) == expected)
        guard !expected.hasPrefix("delivered") else { return }
        let reason = try #require(refusal(verdict))
        #expect(reason.code == "hec-\(code)")
        #expect(reason.message.contains("soc (https://siem:8088)") && reason.message.contains("Said so"))
    }

    @Test func retryAfterComesAlong() {
        let verdict = of(answer(503, #"{"text":"Server is busy","code":9}"#, headers: [("Retry-After", "7")]))
        guard case .retry(_, 7_000) = verdict else {
            Issue.record("\(verdict)")
            return
        }
    }

    /// A body that claims success does not outweigh a status that denies it.
    @Test(arguments: [
        (201, "unknown"), (302, "configuration"), (400, "configuration"), (403, "configuration"),
        (413, "too large"), (429, "retry"), (500, "retry"), (503, "retry"),
    ]) func successNeedsStatus200(status: Int, expected: String) {
        for code in [0, 17, 24, 25] { #expect(kind(of(answer(status, #"{"code":\#(code)}"#))) == expected) }
    }

    @Test(arguments: [5, 6, 12, 13, 15]) func invalidEventNumberIsolatesTheEvent(code: Int) {
        func at(_ number: String, count: Int = 10) -> String {
            kind(of(answer(400, #"{"text":"x","code":\#(code),"invalid-event-number":\#(number)}"#), count: count))
        }
        #expect(at("0") == "poison at 0")
        #expect(at("9") == "poison at 9")
        #expect(at("0", count: 1) == "poison at 0")
        // No event of ours has these numbers: which one is bad must be found by halving.
        for number in ["10", "-1", "9223372036854775807", "99999999999999999999", "1.0", "\"3\"", "null", "[3]"] {
            #expect(at(number) == "poison", "\(number)")
        }
    }

    /// The settings are wrong, not the event, and they are the same for all: whatever number it names, nothing is buried
    /// and nothing is taken to be there.
    @Test func incorrectIndexSettlesNothing() {
        for number in ["2", "9", "10", "1", "0", "-1", "11", "99999999999999999999", "null"] {
            let verdict = of(answer(400, #"{"text":"Incorrect index","code":7,"invalid-event-number":\#(number)}"#))
            #expect(kind(verdict) == "configuration", "\(number)")
            #expect(refusal(verdict)?.message.contains("check index") == true)
        }
    }

    /// With acknowledgements the events before the bad one have no number, so they are sent again.
    @Test func withoutANumberNothingIsDelivered() {
        func acknowledged(_ verdict: Verdict, count: Int = 4) -> (verdict: Verdict, unconfirmed: Int) {
            SplunkVerdict.unacknowledged(verdict, count: count, at: "soc")
        }
        let bad = Reason(code: "hec-6", message: "")
        let (told, again) = acknowledged(.poisonAt(delivered: 2, bad))
        guard case .items(let items, _) = told else {
            Issue.record("\(told)")
            return
        }
        #expect(again == 2 && items.count == 4 && items[2] == .poison(bad))
        for item in [0, 1, 3] {
            guard case .retry(let reason) = items[item] else {
                Issue.record("\(items[item])")
                continue
            }
            #expect(reason.code == "unconfirmed")
        }
        #expect(acknowledged(.poisonAt(delivered: 0, bad)).verdict == .poisonAt(delivered: 0, bad))
        let index = of(answer(400, #"{"text":"Incorrect index","code":7,"invalid-event-number":3}"#), count: 4)
        #expect(acknowledged(index) == (index, 0))
        for verdict in [Verdict.poison(bad), .tooLarge(bad), .retry(bad, retryAfterMilliseconds: 5), .unknown(bad)] {
            #expect(acknowledged(verdict) == (verdict, 0))
        }
    }

    @Test func healthIsTheCollectorsOwnWord() {
        #expect(SplunkVerdict.health(answer(200, #"{"text":"HEC is healthy","code":17}"#), at: "soc") == nil)
        let full = SplunkVerdict.health(
            answer(503, #"{"text":"HEC is unhealthy, queues are full","code":18}"#), at: "soc")
        #expect(full?.code == "hec-18" && full?.message.contains("queues are full") == true)
        #expect(SplunkVerdict.health(answer(404, "<html>"), at: "soc")?.code == "http-404")
    }

    /// What to do is said where somebody has to do it.
    @Test(arguments: [
        (1, 403, "enable the token"), (2, 401, "key token"), (3, 401, "key token"), (4, 403, "key token"),
        (7, 400, "check index"), (10, 400, "acknowledge: true"), (11, 400, "acknowledge: true"),
        (14, 400, "acknowledge: false"),
    ]) func adviceComesAlong(code: Int, status: Int, advice: String) {
        let verdict = of(answer(status, #"{"text":"x","code":\#(code)}"#))
        #expect(refusal(verdict)?.message.contains(advice) == true)
    }

    @Test(arguments: [99, 28, -1, 1_000]) func unknownCodeIsJudgedByItsStatus(code: Int) {
        #expect(kind(of(answer(200, #"{"code":\#(code)}"#))) == "unknown")
        #expect(kind(of(answer(400, #"{"code":\#(code)}"#))) == "configuration")
        #expect(kind(of(answer(503, #"{"code":\#(code)}"#))) == "retry")
    }

    @Test(arguments: [
        "", " ", "OK", "<html><body>200 OK</body></html>", "null", "[]", "[0]", "0", "{}", #"{"code":null}"#,
        #"{"code":"0"}"#, #"{"code":0.0}"#, #"{"code":0e0}"#, #"{"code":false}"#, #"{"code":[0]}"#, #"{"Code":0}"#,
        #"{"text":{"code":0}}"#, #"{"text":"\"code\":0"}"#, #"{"code":00}"#, #"{"code":0,}"#, #"{"code":0"#,
        #"{"code":9,"code":0}"#, #"{"code":0,"code":9}"#, #"{"code":0,"cod\u0065":9}"#, "\u{0}{\"code\":0}",
    ]) func unreadableAnswerIsNeverASuccess(body: String) {
        #expect(kind(of(answer(200, body))) == "unknown", "\(body)")
        #expect(kind(of(answer(503, body))) == "retry", "\(body)")
        #expect(kind(of(answer(401, body))) == "configuration", "\(body)")
        #expect(kind(of(answer(413, body))) == "too large", "\(body)")
    }

    @Test func answerCutShortIsNeverASuccess() {
        let whole = #"{"text":"Success","code":0,"ackId":12}"#
        for length in 0..<whole.utf8.count {
            let cut = HTTPResponse(status: 200, body: Array(whole.utf8.prefix(length)))
            #expect(kind(of(cut)) == "unknown", "after \(length) bytes")
        }
        #expect(kind(of(answer(200, whole))) == "delivered")
    }

    @Test func hostileBodiesEndAndAreBoundedInTheMessage() {
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(kind(of(answer(200, #"{"code":0,"x":"# + deep))) == "unknown")
        #expect(kind(of(answer(200, deep))) == "unknown")
        let long = String(repeating: "a", count: 2_000_000)
        let verdict = of(answer(503, #"{"text":"\#(long)","code":9}"#))
        #expect(kind(verdict) == "retry")
        #expect((refusal(verdict)?.message.utf8.count ?? .max) < 1_000)
        #expect(
            kind(of(HTTPResponse(status: 200, body: [0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x3A, 0x30, 0x7D]))) == "unknown")
    }

    @Test func randomBytesEndInSomeVerdict() {
        let whole = Array(#"{"text":"Incorrect data format","code":6,"invalid-event-number":3}"#.utf8)
        for seed in 0..<5_000 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var body = whole
            for _ in 0...rng.below(4) {
                body[Int(rng.below(UInt64(body.count)))] = UInt8(truncatingIfNeeded: rng.next())
            }
            let verdict = of(HTTPResponse(status: 400, body: body))
            #expect(!kind(verdict).hasPrefix("delivered"), "seed \(seed)")
        }
    }
}
