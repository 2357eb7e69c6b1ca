import ExportCore
import HTTPClient
import Model
import Testing

@testable import Backends

@Suite struct SplunkAckMessagesTests {
    private func read(_ status: Int, _ body: String) -> SplunkAckMessages.Answer {
        SplunkAckMessages.answer(answer(status, body), at: "soc")
    }

    @Test func questionHoldsAllNumbers() {
        #expect(
            String(decoding: SplunkAckMessages.question([0, 7, 123]).array, as: UTF8.self) == #"{"acks":[0,7,123]}"#)
        #expect(String(decoding: SplunkAckMessages.question([3]).array, as: UTF8.self) == #"{"acks":[3]}"#)
    }

    @Test func onlyTrueUnderTheNumberItself() {
        #expect(read(200, #"{"acks":{"0":true,"1":false,"12":true}}"#) == .ids([0, 12]))
        #expect(read(200, #"{"acks":{}}"#) == .ids([]))
        #expect(read(200, #"{"text":"Success","code":0,"acks":{"2":true}}"#) == .ids([2]))
        #expect(read(200, #" { "acks" : { "5" : true } } "#) == .ids([5]))
    }

    /// Any other form may mean anything, so nothing in it is believed.
    @Test(arguments: [
        "", "OK", "true", "null", "[]", "{}", #"{"acks":true}"#, #"{"acks":[0,1]}"#, #"{"acks":null}"#,
        #"{"acks":{"0":"true"}}"#, #"{"acks":{"0":1}}"#, #"{"acks":{"0":null}}"#, #"{"acks":{"0":[true]}}"#,
        #"{"acks":{"0":true,"0":false}}"#, #"{"acks":{"0":false,"0":true}}"#, #"{"acks":{"00":true}}"#,
        #"{"acks":{" 0":true}}"#, #"{"acks":{"+0":true}}"#, #"{"acks":{"x":true}}"#, #"{"acks":{"0.0":true}}"#,
        #"{"acks":{"99999999999999999999":true}}"#, #"{"acks":{"0":true},"acks":{"0":false}}"#, #"{"acks":{"0":tru}}"#,
        #"{"acks":{"0":true}"#, #"{"acks":{"0":true}}x"#, #"{"ACKS":{"0":true}}"#, #"{"acks":{"0":true},"code":8}"#,
    ]) func anythingElseIsUnreadable(body: String) {
        guard case .unreadable = read(200, body) else {
            Issue.record("\(read(200, body))")
            return
        }
    }

    @Test(arguments: [201, 204, 302, 400, 401, 403, 404, 429, 500, 503])
    func anotherStatusAcknowledgesNothing(status: Int) {
        for body in [#"{"acks":{"0":true}}"#, #"{"text":"ACK is disabled","code":14}"#, "<html>"] {
            guard case .refused(let reason) = read(status, body) else {
                Issue.record("\(read(status, body))")
                continue
            }
            #expect(reason.code == (body.contains("14") ? "hec-14" : "http-\(status)"))
        }
    }

    @Test func randomBytesNeverAcknowledgeAnotherNumber() {
        let whole = Array(#"{"acks":{"7":true,"8":false}}"#.utf8)
        for seed in UInt64(0)..<5_000 {
            var rng = PRNG(seed: seed)
            var body = whole
            for _ in 0...rng.below(3) {
                body[Int(rng.below(UInt64(body.count)))] = UInt8(truncatingIfNeeded: 0x20 + rng.below(0x60))
            }
            guard case .ids(let ids) = SplunkAckMessages.answer(HTTPResponse(status: 200, body: body), at: "soc") else {
                continue
            }
            let text = String(decoding: body, as: UTF8.self)
            for id in ids { #expect(text.contains("\"\(id)\":true"), "seed \(seed): \(text)") }
        }
    }
}

@Suite struct StickyCookiesTests {
    private func header(_ lines: [String]...) -> String? {
        var cookies = StickyCookies()
        for answer in lines { cookies.take(HTTPResponse(status: 200, headers: answer.map { ("Set-Cookie", $0) })) }
        return cookies.headers.first.map { "\($0)" }
    }

    @Test func goBackAsTheyCame() {
        #expect(header([]) == nil)
        #expect(header(["AWSALB=a/b+c==; Expires=Wed, 02 Dec 2026 10:00:00 GMT; Path=/"]) == "Cookie: AWSALB=a/b+c==")
        #expect(
            header(["AWSALB=1; Path=/", "AWSALBCORS=2; Secure; SameSite=None"]) == "Cookie: AWSALB=1; AWSALBCORS=2")
    }

    @Test func areReplacedAndRemoved() {
        #expect(header(["SRV=one"], ["SRV=two"]) == "Cookie: SRV=two")
        #expect(header(["SRV=one"], ["SRV=; Max-Age=0"]) == nil)
        #expect(header(["SRV=one"], ["other=1; max-age=-5"], ["third=3; Max-Age=60"]) == "Cookie: SRV=one; third=3")
    }

    @Test func nonsenseAndExcessAreLeftOut() {
        #expect(header(["", "novalue", "=x", ";", "a=b"]) == "Cookie: a=b")
        #expect(header(["big=" + String(repeating: "x", count: 5_000)]) == nil)
        let many = (0..<100).map { "c\(100 + $0)=v" }
        #expect(header(many)?.split(separator: ";").count == 16)
    }
}
