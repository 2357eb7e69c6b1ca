import ArgumentParser
import Configuration
import Glibc
import Logging
import Model

/// What `coordinator` and `worker` are told alike.
struct MemberOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Configuration: the Helm values.", valueName: "file"))
    var config: String

    @Option(
        help: ArgumentHelp(
            "Name of this member, of a worker as in its certificate. Stable over restarts. (default: the machine's name)",
            valueName: "name"))
    var identity: String?

    @Option(
        help: ArgumentHelp(
            "Where /metrics, /healthz and /readyz are, and of a coordinator the page and /v1/...; port 0 for a free one. (default: cluster.endpoint)",
            valueName: "host:port"))
    var endpoint: String?

    @Option(
        help: ArgumentHelp(
            "Directory with ca.crt, tls.crt and tls.key. Without certificates a member keeps to this machine. (default: cluster.peerCertificates)",
            valueName: "dir"))
    var peerCertificates: String?

    @Option(help: ArgumentHelp("Least severe log lines to write.", valueName: "level"))
    var log = LogLevelArgument(level: .info)

    /// The name, from the machine's if none is given.
    /// - Parameter mistakes: gets what is wrong with it: it stands in certificates, leases and names of directories.
    func name(_ mistakes: inout [String]) -> String {
        let name = identity ?? Self.machine
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || byte == 0x2D || byte == 0x2E || byte == 0x5F
        }
        if !isPlain || !(1...200).contains(name.utf8.count) || name.first == "." {
            mistakes.append(
                "--identity \(name.printable): a name has 1 to 200 letters, digits, '-', '_' and '.', and does not begin "
                    + "with '.'")
        }
        return name
    }

    /// The address that `option` says; nil if it is not given, or wrong.
    /// - Parameter mistakes: gets what is wrong with it.
    static func address(
        _ text: String?, _ option: String, port: Int = NetworkAddress.peerPort, allowsAnyPort: Bool = false,
        _ mistakes: inout [String]
    ) -> NetworkAddress? {
        guard let text else { return nil }
        do throws(AddressMistake) {
            return try NetworkAddress(text, port: port, allowsAnyPort: allowsAnyPort)
        } catch {
            let hint = error.hint.map { " (\($0))" } ?? ""
            mistakes.append("\(option) \(text.printable): \(error.message)\(hint)")
            return nil
        }
    }

    /// The machine's name; empty if it has none.
    static var machine: String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// A level of severity on the command line.
struct LogLevelArgument: ExpressibleByArgument, Sendable {
    var level: Logger.Level

    init(level: Logger.Level) { self.level = level }

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument) else { return nil }
        self.level = level
    }

    static var allValueStrings: [String] { Logger.Level.allCases.map(\.rawValue) }
    var defaultValueDescription: String { level.rawValue }
}
