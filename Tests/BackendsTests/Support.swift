import Backends
import ExportCore
import Formats
import FoundationEssentials
import Glibc
import HTTPClient
import Model
import Testing

/// Calls `body` with a fresh directory and removes it afterwards.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/sidereal-backends-" + UUID().uuidString
    try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

func contents(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
}

func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path))
}

func names(in directory: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
}

/// The kind of a verdict in a word; what came with it is left out.
func kind(_ verdict: Verdict) -> String {
    switch verdict {
    case .delivered(let slowDown): slowDown ? "delivered, slow down" : "delivered"
    case .items: "items"
    case .poisonAt(let delivered, _): "poison at \(delivered)"
    case .poison: "poison"
    case .tooLarge: "too large"
    case .retry: "retry"
    case .configuration: "configuration"
    case .unknown: "unknown"
    }
}

func refusal(_ verdict: Verdict) -> Reason? {
    switch verdict {
    case .poisonAt(_, let reason), .poison(let reason), .tooLarge(let reason), .retry(let reason, _),
        .configuration(let reason), .unknown(let reason):
        reason
    case .delivered, .items: nil
    }
}

func answer(
    _ status: Int, _ body: String = "", headers: [(name: String, value: String)] = []
) -> HTTPResponse {
    HTTPResponse(status: status, headers: headers, body: Array(body.utf8))
}

/// One batch of these lines, each with its end.
func batch(_ lines: [String]) -> EncodedBatch {
    var out = ByteWriter()
    var ends: [UInt32] = []
    for line in lines {
        out.append(string: line + "\n")
        ends.append(UInt32(out.count))
    }
    return EncodedBatch(bytes: out.seal(), ends: ends, earliest: Timestamp(seconds: 1_773_570_645, nanoseconds: 0))
}

func parcel(_ lines: [String]) -> Parcel { Parcel(batch: batch(lines), items: [0..<lines.count]) }

let stamp = ExportStamp(version: "1.2.3", cluster: "prod \"east\"")

func encoder() -> FormatEncoder { FormatEncoder(.json, stamp: stamp, options: FormatOptions()) }

func target(_ backend: BackendKind, name: String = "t", port: Int = 1) -> Target {
    let endpoint =
        backend == .file
        ? Endpoint(scheme: "file", host: "", port: 0, path: "/nowhere")
        : Endpoint(scheme: "https", host: "siem.example.com", port: port, path: "")
    return Target(name: name, backend: backend, format: .json, endpoint: endpoint)
}

/// A record as the API server gives it, executed at `timestamp`.
func record(timestamp: String = "2026-03-15T10:30:45.123456789Z") -> String {
    #"{"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{"#
        + #""name":"sidereal-result-0b1c2d3e","namespace":"sidereal-system","resourceVersion":"17","#
        + #""uid":"7f0c1c5e-6f4e-4a52-9d7b-2f6b1a0c9e11","creationTimestamp":"2026-03-15T10:30:46Z"},"#
        + #""spec":{"probe":{"id":"0b1c2d3e-4f50-4617-8a29-3b4c5d6e7f80","profile":"rbac","#
        + #""targetNamespace":"prod"},"result":{"outcome":"Pass","controlEffectiveness":"Effective","#
        + #""integrityStatus":"Verified","detail":"a \"quoted\" word"},"execution":{"timestamp":""# + timestamp
        + #"","durationMs":42,"jobName":"probe-rbac-1"},"audit":{"exportStatus":"Pending"}}}"#
}

/// What follows the opening brace of that record in the native form.
func nativeForm(timestamp: String = "2026-03-15T10:30:45.123456789Z") -> String {
    #""apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{"#
        + #""uid":"7f0c1c5e-6f4e-4a52-9d7b-2f6b1a0c9e11","name":"sidereal-result-0b1c2d3e","#
        + #""namespace":"sidereal-system","creationTimestamp":"2026-03-15T10:30:46Z"},"#
        + #""spec":{"probe":{"id":"0b1c2d3e-4f50-4617-8a29-3b4c5d6e7f80","profile":"rbac","#
        + #""targetNamespace":"prod"},"result":{"outcome":"Pass","controlEffectiveness":"Effective","#
        + #""integrityStatus":"Verified","detail":"a \"quoted\" word"},"execution":{"timestamp":""# + timestamp
        + #"","durationMs":42,"jobName":"probe-rbac-1"}},"sidereal":{"export":{"version":"1.2.3","#
        + #""cluster":"prod \"east\"","shard":211}}}"#
}

/// What `writer` makes of a record.
func written(_ json: String, by writer: RecordWriter) throws -> String {
    let bytes = SealedBytes(Array(json.utf8))
    var reader = ProbeResultReader()
    try reader.read(bytes.span, 0..<bytes.count)
    var out = ByteWriter()
    var scratch = ByteWriter()
    writer.append(reader.record, of: bytes.span, into: &out, scratch: &scratch)
    return String(decoding: out.seal().array, as: UTF8.self)
}
