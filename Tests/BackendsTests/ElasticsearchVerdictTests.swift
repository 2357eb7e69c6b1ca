import ExportCore
import HTTPClient
import Model
import Testing

@testable import Backends

@Suite struct ElasticsearchVerdictTests {
    private func of(_ response: HTTPResponse, count: Int) -> Verdict {
        ElasticsearchVerdict.of(response, count: count, at: "logs (https://es:9200)")
    }

    private func item(_ status: Int, error: String? = nil) -> String {
        let said = error.map { #","error":{"type":"\#($0)","reason":"because"}"# } ?? ""
        return #"{"create":{"status":\#(status)\#(said)}}"#
    }

    private func body(errors: String, _ items: [String]) -> String {
        #"{"errors":\#(errors),"items":[\#(items.joined(separator: ","))]}"#
    }

    private func kinds(_ verdict: Verdict) -> [String] {
        guard case .items(let items, _) = verdict else { return [] }
        return items.map {
            switch $0 {
            case .delivered: "delivered"
            case .retry: "retry"
            case .configuration: "configuration"
            case .poison: "poison"
            }
        }
    }

    @Test func everythingCreated() {
        let text = body(errors: "false", [item(201), item(201), item(201)])
        #expect(of(answer(200, text), count: 3) == .delivered(slowDown: false))
    }

    /// The usual answer is told by its bytes. One that differs anywhere is read, as it is with a space at its end.
    @Test func anyOtherAnswerIsRead() {
        let usual = Array(body(errors: "false", [item(201), item(201), item(201)]).utf8)
        for index in usual.indices {
            for bit in 0..<8 as Range<UInt8> {
                var changed = usual
                changed[index] ^= 1 << bit
                let text = String(decoding: changed, as: UTF8.self)
                #expect(of(answer(200, text), count: 3) == of(answer(200, text + " "), count: 3), "\(text)")
            }
        }
        let text = String(decoding: usual, as: UTF8.self)
        for count in [0, 1, 2, 4, 300] {
            guard case .unknown = of(answer(200, text), count: count) else {
                Issue.record("three items were taken for \(count) documents")
                continue
            }
        }
        for status in [0, 199, 201, 301, 429, 500] {
            #expect(of(answer(status, text), count: 3) != .delivered(slowDown: false))
        }
    }

    /// 409: a document of that identity is there already, by an earlier request of ours.
    @Test func conflictIsDelivered() {
        let text = body(errors: "true", [item(201), item(409, error: "version_conflict_engine_exception")])
        #expect(of(answer(200, text), count: 2) == .delivered(slowDown: false))
    }

    /// The `drop` processor: a success of which nothing was stored. Held, as a setting made it so.
    @Test func whatAPipelineDropsIsHeld() {
        let verdict = of(answer(200, body(errors: "false", [item(201), item(200), item(201)])), count: 3)
        #expect(kinds(verdict) == ["delivered", "configuration", "delivered"])
        guard case .items(let items, _) = verdict, case .configuration(let reason) = items[1] else { return }
        #expect(reason.code == "pipeline-drop" && reason.message.contains("ingest pipeline"))
    }

    @Test(arguments: [202, 204, 299, 0]) func onlyCreatedIsStored(status: Int) {
        #expect(kinds(of(answer(200, body(errors: "false", [item(status)])), count: 1)) == ["retry"])
    }

    /// What does not fit a data stream's mapping is a success too, if the stream has a failure store.
    @Test(arguments: [
        (#""failure_store":"used""#, "poison"), (#""failure_store":null"#, "poison"),
        (#""failure_store":"used","failure_store":"not_applicable_or_unknown""#, "poison"),
        (#""failure_store":"not_applicable_or_unknown""#, "delivered"), (#""_version":1"#, "delivered"),
    ]) func failureStoreIsNotTheStream(member: String, expected: String) {
        let odd = #"{"create":{"status":201,\#(member)}}"#
        let refused = item(429, error: "full")
        let verdict = of(answer(200, body(errors: "true", [odd, item(201), refused])), count: 3)
        #expect(kinds(verdict) == [expected, "delivered", "retry"])
    }

    @Test func itemsAreJudgedOneByOneInTheOrderOfTheRequest() throws {
        let statuses = [201, 429, 400, 409, 403, 404, 401, 500, 502, 503, 413, 201, 302]
        let text = body(errors: "true", statuses.map { item($0, error: $0 > 201 ? "type_\($0)" : nil) })
        let verdict = of(answer(200, text, headers: [("Retry-After", "3")]), count: statuses.count)
        #expect(
            kinds(verdict) == [
                "delivered", "retry", "poison", "delivered", "configuration", "configuration", "configuration",
                "retry", "retry", "retry", "retry", "delivered", "retry",
            ])
        guard case .items(let items, let after) = verdict, case .poison(let reason) = items[2] else {
            Issue.record("\(verdict)")
            return
        }
        #expect(after == 3_000)
        #expect(reason.code == "http-400")
        #expect(reason.message.contains("type_400: because") && reason.message.contains("logs (https://es:9200)"))
    }

    /// `errors` is a summary; the items are the truth.
    @Test func errorsFalseDoesNotHideAFailedItem() {
        let verdict = of(answer(200, body(errors: "false", [item(201), item(429)])), count: 2)
        #expect(kinds(verdict) == ["delivered", "retry"])
    }

    @Test(arguments: [
        "{}", "{\"create\":{}}", "{\"create\":{\"status\":\"201\"}}", "{\"create\":201}", "201", "null",
        "{\"create\":{\"status\":201,\"status\":429}}", "{\"create\":{\"status\":201},\"index\":{\"status\":500}}",
        "{\"create\":{\"status\":201.0}}", "{\"create\":{\"status\":99999999999999999999}}", "[]",
    ]) func itemWithoutAReadableStatusIsRetried(odd: String) {
        let verdict = of(answer(200, body(errors: "false", [item(201), odd])), count: 2)
        #expect(kinds(verdict) == ["delivered", "retry"])
    }

    @Test(arguments: [0, 1, 3, 5, 1_000]) func wrongNumberOfItemsIsUnknown(count: Int) {
        let text = body(errors: "false", Array(repeating: item(201), count: count))
        #expect(kind(of(answer(200, text), count: 4)) == "unknown")
    }

    @Test(arguments: [
        "", "{}", "[]", "null", "OK", "<html></html>", #"{"took":3}"#, #"{"errors":false}"#,
        #"{"items":[{"create":{"status":201}}]}"#, #"{"errors":"false","items":[{"create":{"status":201}}]}"#,
        #"{"errors":null,"items":[{"create":{"status":201}}]}"#, #"{"errors":false,"items":{"create":{"status":201}}}"#,
        #"{"errors":false,"items":null}"#, #"{"errors":false,"items":"[{}]"}"#,
        #"{"errors":false,"items":[],"items":[{"create":{"status":201}}]}"#,
        #"{"errors":true,"errors":false,"items":[{"create":{"status":201}}]}"#,
    ]) func unreadableSuccessIsUnknown(text: String) {
        #expect(kind(of(answer(200, text), count: 1)) == "unknown", "\(text)")
    }

    @Test func answerCutShortIsUnknown() {
        let whole = body(errors: "false", [item(201), item(201), item(201)])
        for length in 0..<whole.utf8.count {
            let cut = HTTPResponse(status: 200, body: Array(whole.utf8.prefix(length)))
            #expect(kind(of(cut, count: 3)) == "unknown", "after \(length) bytes")
        }
        #expect(kind(of(answer(200, whole), count: 3)) == "delivered")
    }

    @Test(arguments: [
        (413, "too large"), (401, "configuration"), (403, "configuration"), (404, "configuration"), (429, "retry"),
        (500, "retry"), (503, "retry"), (301, "configuration"), (307, "configuration"), (201, "unknown"),
    ]) func wholeRequestIsJudgedByItsStatus(status: Int, expected: String) {
        let error = #"{"error":{"type":"some_exception","reason":"this and that"},"status":\#(status)}"#
        #expect(kind(of(answer(status, error), count: 2)) == expected)
        // Not even a body full of successes outweighs the status.
        let successes = body(errors: "false", [item(201), item(201)])
        #expect(kind(of(answer(status, successes), count: 2)) == expected)
        #expect(kind(of(answer(status, "gateway says no"), count: 2)) == expected)
    }

    @Test func reasonTellsWhatTheClusterSaid() {
        let security = #"{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}"#
        let message = refusal(of(answer(401, security), count: 1))?.message
        #expect(message?.contains("security_exception: unable to authenticate") == true)
        #expect(message?.contains("check the secret") == true)
        #expect(
            refusal(of(answer(503, #"{"error":"plain words"}"#), count: 1))?.message.contains("plain words") == true)
    }

    @Test func hostileBodiesEnd() {
        let deep = String(repeating: "{\"a\":", count: 200_000)
        #expect(kind(of(answer(200, #"{"errors":false,"items":["# + deep), count: 1)) == "unknown")
        let many = body(errors: "false", Array(repeating: item(201), count: 20_000))
        #expect(kind(of(answer(200, many), count: 20_000)) == "delivered")
        #expect(kind(of(answer(200, many), count: 19_999)) == "unknown")
    }

    @Test func randomBytesEndInSomeVerdict() {
        let whole = Array(body(errors: "true", [item(429, error: "a"), item(503, error: "b")]).utf8)
        for seed in 0..<5_000 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var bytes = whole
            // Bytes are only removed: no status can become another success by that.
            for _ in 0...rng.below(6) { bytes.remove(at: Int(rng.below(UInt64(bytes.count)))) }
            let verdict = of(HTTPResponse(status: 200, body: bytes), count: 2)
            #expect(kind(verdict) != "delivered", "seed \(seed)")
            #expect(!kinds(verdict).contains("delivered"), "seed \(seed)")
        }
    }
}
