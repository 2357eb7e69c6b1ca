import ExportCore
import HTTPClient
import Testing

@testable import Backends

@Suite struct HTTPVerdictTests {
    private static let kinds: [HTTPFailure.Kind] = [
        .timeout(phase: .connect), .timeout(phase: .firstByte), .timeout(phase: .total), .connectionLost,
        .responseTooLarge, .cancelled, .shutDown, .other(code: 2), .other(code: 43), .other(code: 89),
    ]

    /// What may have been carried out is unknown; what certainly was not is tried again.
    @Test(arguments: kinds) func failureThatMayHaveArrivedIsUnknown(failure: HTTPFailure.Kind) {
        let message = "POST https://siem:1/ failed"
        let reached = HTTPVerdict.of(HTTPFailure(kind: failure, message: message, mayHaveReachedServer: true))
        let unsent = HTTPVerdict.of(HTTPFailure(kind: failure, message: message, mayHaveReachedServer: false))
        #expect(kind(reached) == "unknown")
        #expect(kind(unsent) == "retry")
        #expect(refusal(reached)?.message == message && refusal(unsent)?.message == message)
    }

    @Test(arguments: [HTTPFailure.Kind.resolve, .connect]) func unreachedReceiverIsTriedAgain(
        failure: HTTPFailure.Kind
    ) {
        let verdict = HTTPVerdict.of(HTTPFailure(kind: failure, message: "m", mayHaveReachedServer: false))
        #expect(kind(verdict) == "retry")
    }

    @Test(arguments: [
        HTTPFailure.TLSReason.expired, .notYetValid, .wrongName, .selfSigned, .unknownAuthority, .revoked,
        .badCertificate, .clientCertificateRequired, .clientCertificateRejected, .localFile, .version, .notTLS,
        .handshake,
    ]) func tlsIsForAPersonToMend(tls: HTTPFailure.TLSReason) {
        for reached in [true, false] {
            let verdict = HTTPVerdict.of(
                HTTPFailure(kind: .tls(reason: tls), message: "why", mayHaveReachedServer: reached))
            #expect(verdict == .configuration(Reason(code: "tls-\(tls.rawValue)", message: "why")))
        }
    }

    @Test(arguments: [
        (200, "unknown"), (204, "unknown"), (301, "configuration"), (302, "configuration"), (304, "configuration"),
        (307, "configuration"), (400, "configuration"), (401, "configuration"), (403, "configuration"),
        (404, "configuration"), (405, "configuration"), (407, "configuration"), (408, "retry"), (413, "too large"),
        (415, "configuration"), (425, "retry"), (429, "retry"), (500, "retry"), (501, "retry"), (502, "retry"),
        (503, "retry"), (504, "retry"), (507, "retry"), (599, "retry"), (0, "configuration"), (999, "configuration"),
    ]) func statusAlone(status: Int, expected: String) {
        let verdict = HTTPVerdict.of(status: status, retryAfter: 5, said: "words", at: "soc (https://siem:1)")
        #expect(kind(verdict) == expected)
        #expect(refusal(verdict)?.message.contains("soc (https://siem:1)") == true)
        #expect(refusal(verdict)?.message.contains("\(status)") == true)
        if case .retry(_, let after) = verdict { #expect(after == 5) }
    }

    @Test func redirectSaysWhatToDo() {
        let verdict = HTTPVerdict.of(status: 302, retryAfter: nil, said: "", at: "soc")
        #expect(refusal(verdict)?.message.contains("set endpoint") == true)
    }

    @Test(
        arguments: [
            ("0", 0), ("1", 1_000), ("120", 120_000), ("86400", 86_400_000), ("999999999", 86_400_000),
            ("18446744073709551615", 86_400_000), ("18446744073709551616", nil), ("-1", nil), ("1.5", nil), ("", nil),
            ("soon", nil),
        ] as [(String, UInt64?)]) func retryAfterInSeconds(value: String, expected: UInt64?)
    {
        #expect(HTTPVerdict.retryAfter(answer(503, headers: [("Retry-After", value)])) == expected)
    }

    /// A date counts from the answer's own Date: the two clocks need not agree.
    @Test(
        arguments: [
            ("Sun, 06 Nov 1994 08:51:37 GMT", 120_000), ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0), ("Mon, 07 Nov 1994 08:49:37 GMT", 86_400_000),
            ("Fri, 06 Nov 2094 08:49:37 GMT", 86_400_000), ("06 Nov 1994 08:51:37", nil),
            ("Sun, 06 Foo 1994 08:51:37 GMT", nil), ("Sun, 99 Nov 1994 08:51:37 GMT", nil),
            ("Sun, 06 Nov 1994 08:51 GMT", nil), ("Sun, 06 Nov 99999999999 08:51:37 GMT", nil),
            ("Sun, 06 Nov 1994 99:51:37 GMT", nil),
        ] as [(String, UInt64?)]) func retryAfterAsADate(value: String, expected: UInt64?)
    {
        let headers = [(name: "Date", value: "Sun, 06 Nov 1994 08:49:37 GMT"), (name: "Retry-After", value: value)]
        #expect(HTTPVerdict.retryAfter(answer(503, headers: headers)) == expected)
        #expect(HTTPVerdict.retryAfter(answer(503, headers: [headers[1]])) == nil)
    }

    @Test(arguments: [
        ("Tue, 28 Feb 2023 23:59:59 GMT", "Wed, 01 Mar 2023 00:00:00 GMT", 1),
        ("Wed, 28 Feb 2024 23:59:59 GMT", "Thu, 29 Feb 2024 00:00:00 GMT", 1),
        ("Thu, 29 Feb 2024 23:59:59 GMT", "Fri, 01 Mar 2024 00:00:00 GMT", 1),
        ("Sun, 28 Feb 2100 23:59:59 GMT", "Mon, 01 Mar 2100 00:00:00 GMT", 1),
        ("Thu, 31 Dec 2026 23:59:58 GMT", "Fri, 01 Jan 2027 00:00:01 GMT", 3),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 1971 00:00:00 GMT", 365 * 86_400),
        ("Fri, 01 Jan 2027 00:00:00 GMT", "Sat, 01 Jan 2028 00:00:00 GMT", 365 * 86_400),
    ]) func datesAreCountedThroughTheCalendar(from: String, to: String, seconds: Int64) throws {
        #expect(try #require(HTTPDate.seconds(to)) - #require(HTTPDate.seconds(from)) == seconds)
    }
}
