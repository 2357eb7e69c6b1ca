import FoundationEssentials
import Glibc
import Model
import Synchronization
import Testing

@testable import Configuration

/// The problems of `text`; empty if it is valid.
func problems(_ text: String) -> [ConfigurationProblem] {
    do throws(ConfigurationError) {
        _ = try Configuration.parse(text, name: "values.yaml")
        return []
    } catch {
        return error.problems
    }
}

/// The one problem of `text`.
func problem(_ text: String, _ location: SourceLocation = #_sourceLocation) throws -> ConfigurationProblem {
    let found = problems(text)
    #expect(found.count == 1, "\(found)", sourceLocation: location)
    return try #require(found.first, sourceLocation: location)
}

/// Expects exactly one problem, with all its parts.
func expect(
    _ text: String, at place: (line: Int, column: Int)?, _ keyPath: String, _ message: String, hint: String?,
    _ location: SourceLocation = #_sourceLocation
) throws {
    let found = try problem(text, location)
    #expect(found.line == place?.line, "\(found)", sourceLocation: location)
    #expect(found.column == place?.column, "\(found)", sourceLocation: location)
    #expect(found.keyPath == keyPath, "\(found)", sourceLocation: location)
    #expect(found.message.contains(message), "\(found)", sourceLocation: location)
    if let hint {
        #expect(found.hint?.contains(hint) == true, "\(found)", sourceLocation: location)
    } else {
        #expect(found.hint == nil, "\(found)", sourceLocation: location)
    }
}

/// A file with one target that lacks nothing; `extra` lines are added to the target, which begins in line 3.
func splunk(
    endpoint: String = "https://splunk.example.com:8088", _ extra: String..., head: String = ""
) -> String {
    target(
        ["backend: splunk", "endpoint: \(endpoint)", "secretRef: splunk-hec-token"] + extra, head: head)
}

/// As ``splunk(endpoint:_:head:)``, without a secret; lines 3 and 4 are the backend and the endpoint.
func file(endpoint: String = "file:///var/log/sidereal", _ extra: String..., head: String = "") -> String {
    target(["backend: file", "endpoint: \(endpoint)"] + extra, head: head)
}

/// As ``splunk(endpoint:_:head:)``, for Elasticsearch.
func elasticsearch(endpoint: String = "https://es.example.com:9200", _ extra: String..., head: String = "") -> String {
    target(["backend: elasticsearch", "endpoint: \(endpoint)", "secretRef: es"] + extra, head: head)
}

/// As ``splunk(endpoint:_:head:)``, for a syslog receiver; lines 3 and 4 are the backend and the endpoint.
func syslog(endpoint: String = "tls://siem.example.com", _ extra: String..., head: String = "") -> String {
    target(["backend: syslog", "endpoint: \(endpoint)"] + extra, head: head)
}

/// `export`, `targets` and one target; then `head`, whose lines come after it.
func target(_ lines: [String], head: String = "") -> String {
    let entry = lines.enumerated().map { ($0.offset == 0 ? "    - " : "      ") + $0.element }
    return (["export:", "  targets:"] + entry).joined(separator: "\n") + "\n" + head
}

/// A directory that is removed at the end.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/sidereal-configuration-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    }

    deinit { Self.remove(path) }

    func write(_ bytes: [UInt8], to name: String, mode: mode_t = 0o600) throws {
        let descriptor = unsafe open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: done), bytes.count - done)
            }
            try #require(count > 0)
            done += count
        }
    }

    func write(_ text: String, to name: String) throws { try write(Array(text.utf8), to: name) }

    func makeDirectory(_ name: String) throws { try #require(unsafe mkdir("\(path)/\(name)", 0o700) == 0) }

    func link(_ name: String, to target: String) throws { try #require(unsafe symlink(target, "\(path)/\(name)") == 0) }

    func move(_ old: String, to new: String) throws {
        try #require(unsafe rename("\(path)/\(old)", "\(path)/\(new)") == 0)
    }

    /// Does not follow links.
    private static func remove(_ path: String) {
        if let directory = unsafe opendir(path) {
            var status = stat()
            if unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                while let entry = unsafe readdir(directory) {
                    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                    }
                    if name != ".", name != ".." { remove("\(path)/\(name)") }
                }
            }
            unsafe closedir(directory)
        }
        unsafe Glibc.remove(path)
    }
}

/// A clock that a test moves.
final class TestClock: Sendable {
    private let time = Mutex(Tick(nanoseconds: 1_000_000_000))

    func now() -> Tick { time.withLock { $0 } }

    func advance(milliseconds: UInt64) { time.withLock { $0 = $0.adding(milliseconds: milliseconds) } }
}
