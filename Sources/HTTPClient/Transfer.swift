import CCurl
import Glibc
import Model
import Threading

/// One request on its way through libcurl: what its callbacks collect. Only for the loop's thread.
final class Transfer {
    let submission: Submission
    let easy: EasyHandle
    /// Certificates and key that libcurl reads from without a copy.
    private let pinned: [SealedBytes]
    private(set) var body: [UInt8] = []
    /// Field lines of the answer's current header.
    private(set) var fieldLines: [UInt8] = []
    /// Bytes of all headers, interim answers and trailers included.
    private var headerBytes = 0
    /// The header of the final answer has come to its end.
    private(set) var headerComplete = false
    /// The status line of the final answer has come.
    private(set) var answered = false
    private(set) var tooLarge = false
    /// libcurl wanted to send a request a second time that must not be.
    private(set) var resendRefused = false
    /// There was no connection of an earlier request to go over, and the request wanted one.
    private var lacksConnection = false
    /// How often the request was handed to a connection.
    private(set) var attempts = 0
    /// When the server last had no reason to have answered.
    private(set) var progressAt: Tick
    private var uploaded = 0
    /// When the last piece of a stream's body came, or its reader last had room again.
    private var heardAt: Tick

    init(_ submission: Submission, easy: EasyHandle, pinned: [SealedBytes]) {
        self.submission = submission
        self.easy = easy
        self.pinned = pinned
        progressAt = submission.submittedAt
        heardAt = submission.submittedAt
    }

    var request: HTTPRequest { submission.checked.request }

    /// What became of a piece of the body.
    enum Reception {
        case taken
        /// There is no room: it is to be offered again when there is.
        case notNow
        /// The transfer ends: it would exceed its bound.
        case refused
    }

    func appendBody(_ piece: UnsafeRawBufferPointer) -> Reception {
        if let stream = submission.stream {
            heardAt = SystemClock.now()
            return unsafe stream.offer(piece) ? .taken : .notNow
        }
        guard piece.count <= request.maxResponseBytes - body.count else {
            tooLarge = true
            return .refused
        }
        unsafe body.append(contentsOf: piece)
        return .taken
    }

    /// The reader of a stream has room again.
    func resumed(now: Tick) { heardAt = now }

    /// When nothing has come of a stream's body for longer than it may be, if nothing comes until then; nil for a stream without
    /// that bound, one whose reader has no room, and everything else.
    var stallsAt: Tick? {
        guard let stream = submission.stream, headerComplete, stream.bounds.silence > 0, !stream.isPaused else {
            return nil
        }
        return heardAt.adding(milliseconds: stream.bounds.silence)
    }

    /// For how long nothing has come of a stream's body, if that is longer than it may be; nil if not.
    func stall(now: Tick) -> UInt64? {
        guard let due = stallsAt, now >= due else { return nil }
        return now.milliseconds(since: heardAt)
    }

    /// Takes one line of a header, its end included. False ends the transfer.
    func appendHeaderLine(_ line: UnsafeRawBufferPointer) -> Bool {
        headerBytes += line.count
        guard headerBytes <= HTTPClient.maxHeaderBytes else {
            tooLarge = true
            return false
        }
        if unsafe line.starts(with: "HTTP/".utf8) {
            startHeader(interim: unsafe Transfer.isInterim(statusLine: line))
        } else if line.count <= 2, unsafe line.allSatisfy({ $0 == 0x0D || $0 == 0x0A }) {
            if answered, !headerComplete { begin() }
        } else if answered, !headerComplete {
            unsafe fieldLines.append(contentsOf: line)
        }
        return true
    }

    /// The header of the final answer is complete.
    private func begin() {
        headerComplete = true
        heardAt = SystemClock.now()
        submission.stream?.begin(response)
    }

    private func startHeader(interim: Bool) {
        fieldLines.removeAll(keepingCapacity: true)
        headerComplete = false
        answered = !interim
        if interim { progressAt = SystemClock.now() }
    }

    /// 1xx: another header follows (RFC 9110 section 15.2).
    private static func isInterim(statusLine line: UnsafeRawBufferPointer) -> Bool {
        guard let space = unsafe line.firstIndex(of: 0x20), space + 1 < line.count else { return false }
        return unsafe line[space + 1] == 0x31
    }

    /// libcurl is about to hand the request to a connection: the only place it does so, for the first time and when
    /// a connection that it had used again died without a byte. In that case the server may have acted on the
    /// request and died before its answer, so what is not idempotent is not sent again (RFC 9110 section 9.2.2).
    func mayStartSending() -> Bool {
        guard attempts == 0 || request.isIdempotent else {
            resendRefused = true
            return false
        }
        guard !request.needsOpenConnection || easy.openedConnections == 0 else {
            lacksConnection = true
            return false
        }
        attempts += 1
        uploaded = 0
        progressAt = SystemClock.now()
        return true
    }

    /// Whether the server has been silent for longer than the request allows.
    func isSilent(now: Tick) -> Bool {
        guard attempts > 0, !answered else { return false }
        let sent = easy.uploadedBytes
        if sent != uploaded {
            uploaded = sent
            progressAt = now
        }
        return now.milliseconds(since: progressAt) >= max(1, request.timeouts.firstByte)
    }

    /// What becomes of the request now that libcurl is done with it.
    func outcome(_ code: CURLcode) -> Result<HTTPResponse, HTTPFailure> {
        guard code == CURLE_OK else {
            if lacksConnection {
                return .failure(
                    submission.checked.notSent(.noOpenConnection, "the connection of the earlier requests is gone"))
            }
            let trouble = Trouble(
                code: code, reason: easy.reason(code), verifyResult: easy.verifyResult,
                proxyVerifyResult: easy.proxyVerifyResult, connectStatus: easy.connectStatus, attempts: attempts,
                tooLarge: tooLarge, resendRefused: resendRefused,
                elapsedMilliseconds: SystemClock.now().milliseconds(since: submission.submittedAt))
            return .failure(trouble.failure(of: submission.checked))
        }
        // libcurl takes a header that ends with the connection for a complete answer.
        guard headerComplete else {
            return .failure(
                submission.checked.failure(
                    .connectionLost, "the server closed the connection within the answer's header",
                    mayHaveReachedServer: true))
        }
        return .success(response)
    }

    /// As much of the answer as is here.
    private var response: HTTPResponse {
        let version: HTTPVersion =
            switch easy.httpVersion {
            case Int(CURL_HTTP_VERSION_2_0): .http2
            case Int(CURL_HTTP_VERSION_1_0): .http10
            default: .http11
            }
        var response = HTTPResponse(
            status: easy.status, fieldLines: fieldLines, body: body, protocolVersion: version)
        response.openedConnection = easy.openedConnections > 0
        return response
    }
}
