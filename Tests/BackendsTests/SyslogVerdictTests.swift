import ExportCore
import Formats
import Glibc
import HTTPClient
import Model
import Testing

@testable import Backends

/// Framing, and what becomes of a parcel's fate.
@Suite struct SyslogVerdictTests {
    private let place = "soc (tls://siem:6514)"

    @Test func deliveredIsDelivered() {
        #expect(SyslogVerdict.of(.delivered, at: place) == .delivered(slowDown: false))
    }

    @Test(arguments: [
        (SyslogFailure(kind: .resolve, words: "w"), "resolve", "retry", "unknown"),
        (.connect(ECONNREFUSED), "connect", "retry", "unknown"),
        (.timeout(.handshake, 5), "timeout-handshake", "retry", "unknown"),
        (.stalled(5), "timeout-write", "retry", "unknown"), (.slow(5), "timeout-parcel", "retry", "unknown"),
        (.closed, "connection-lost", "retry", "unknown"), (.lost(ECONNRESET), "connection-lost", "retry", "unknown"),
        (.stopped, "stopped", "retry", "unknown"),
        (SyslogFailure(kind: .babble, words: "w"), "unexpected-answer", "retry", "unknown"),
        (SyslogFailure(kind: .tls(.expired), words: "w"), "tls-expired", "configuration", "unknown"),
        (
            SyslogFailure(kind: .tls(.clientCertificateRequired), words: "w"), "tls-clientCertificateRequired",
            "configuration", "configuration"
        ),
    ])
    func everyFailure(failure: SyslogFailure, code: String, notSent: String, unknown: String) {
        for (fate, expected) in [(SyslogFate.notSent(failure), notSent), (.unknown(failure), unknown)] {
            let verdict = SyslogVerdict.of(fate, at: place)
            #expect(kind(verdict) == expected)
            #expect(refusal(verdict)?.code == code)
            #expect(refusal(verdict)?.message.hasPrefix("\(place): \(failure.words)") == true)
        }
        #expect(refusal(SyslogVerdict.of(.unknown(failure), at: place))?.message.contains("is sent again") == true)
        #expect(refusal(SyslogVerdict.of(.notSent(failure), at: place))?.message.contains("sent again") == false)
    }

    /// OpenSSL's words for bad_record_mac, the alerts internal_error and certificate_required.
    @Test func tlsAfterTheHandshake() {
        let broken = "error:0A000119:SSL routines::decryption failed or bad record mac"
        let dying = "error:0A000438:SSL routines::tlsv1 alert internal error"
        let refused = "error:0A00045C:SSL routines::tlsv13 alert certificate required"
        for text in [broken, dying] {
            #expect(SyslogFailure.established(text, hasClientCertificate: true).kind == .connectionLost)
            let early = SyslogFailure.handshake(text, verifyResult: 0, hasClientCertificate: true)
            #expect(early.kind == .tls(.handshake))
        }
        let late = SyslogFailure.established(refused, hasClientCertificate: false)
        #expect(late.kind == .tls(.clientCertificateRequired))
        let expired = SyslogFailure.handshake(broken, verifyResult: 10, hasClientCertificate: false)
        #expect(expired.kind == .tls(.expired))
    }

    private func frame(_ format: FormatKind, _ change: (inout Target) -> Void = { _ in }) throws -> String {
        var target = Target(
            name: "t", backend: .syslog, format: format,
            endpoint: Endpoint(scheme: "tls", host: "h", port: 1, path: ""))
        change(&target)
        let encoder = FormatEncoder(format, stamp: stamp, options: target.formatOptions)
        let builder = SyslogRequestBuilder(target: target, encoder: encoder, stamp: stamp)
        return try written(record(), by: .syslog(builder))
    }

    private func line(_ format: FormatKind) throws -> String {
        let encoder = FormatEncoder(format, stamp: stamp, options: FormatOptions())
        let target = target(.file)
        return String(
            try written(record(), by: .file(FileRequestBuilder(target: target, encoder: encoder))).dropLast())
    }

    @Test func aSyslogMessageIsFramedAsItIs() throws {
        let line = try line(.syslog)
        #expect(try frame(.syslog) == "\(line.utf8.count) \(line)")
    }

    @Test(arguments: [FormatKind.cef, .leef, .json, .ocsf]) func otherLinesGetAHeader(format: FormatKind) throws {
        let header =
            "<110>1 2026-03-15T10:30:45.123Z prod-\"east\" sidereal 0b1c2d3e-4f50-4617-8a29-3b4c5d6e7f80 Pass - "
        let message = header + (try line(format))
        #expect(try frame(format) == "\(message.utf8.count) \(message)")
    }

    @Test func theHeaderHasItsSettings() throws {
        let text = try frame(.leef) {
            $0.formatOptions.facility = 0
            $0.formatOptions.appName = "probes"
        }
        #expect(text.contains(" <6>1 2026-03-15T10:30:45.123Z prod-\"east\" probes 0b1c2d3e-"))
    }
}
