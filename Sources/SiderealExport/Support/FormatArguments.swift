import ArgumentParser
import Configuration
import Model

/// The name of a format as an argument.
struct FormatName: ExpressibleByArgument {
    let kind: FormatKind

    init?(argument: String) {
        guard let kind = FormatKind(rawValue: argument) else { return nil }
        self.kind = kind
    }

    static var allValueStrings: [String] { FormatKind.allCases.map(\.rawValue) }
}

/// What a target of the configuration file may choose about its format, as options.
struct FormatArguments: ParsableArguments {
    @Option(help: ArgumentHelp("cef, leef, ocsf: vendor. (default: Sidereal)", valueName: "text"))
    var vendor: String?

    @Option(help: ArgumentHelp("cef, leef, ocsf: product. (default: Sidereal)", valueName: "text"))
    var product: String?

    @Option(help: ArgumentHelp("cef: 0, or 1 for the keys of version 1.2. (default: 0)", valueName: "number"))
    var cefVersion: Int?

    @Option(help: ArgumentHelp("syslog: facility, 0 to 23. (default: 13, log audit)", valueName: "number"))
    var facility: Int?

    @Option(help: ArgumentHelp("syslog: APP-NAME. (default: sidereal)", valueName: "name"))
    var appName: String?

    @Option(
        help: ArgumentHelp(
            "syslog: IANA private enterprise number of the structured data. (default: 32473)", valueName: "number"))
    var enterpriseId: Int?

    @Option(
        help: ArgumentHelp("syslog: longest message, 480 bytes to 1 MiB. (default: no bound)", valueName: "bytes"))
    var maxMessageBytes: Int?

    /// The defaults, and what was given.
    var options: FormatOptions {
        var options = FormatOptions()
        options.vendor = vendor ?? options.vendor
        options.product = product ?? options.product
        options.cefVersion = cefVersion ?? options.cefVersion
        options.facility = facility ?? options.facility
        options.appName = appName ?? options.appName
        options.enterpriseID = enterpriseId ?? options.enterpriseID
        options.maxMessageBytes = maxMessageBytes ?? options.maxMessageBytes
        return options
    }

    /// Refuses options of other formats, and values that the configuration file would refuse.
    func check(for format: FormatKind) throws {
        try check("vendor", text: vendor, format)
        try check("product", text: product, format)
        try check("cefVersion", cefVersion, FormatBounds.whole["cefVersion"], format)
        try check("facility", facility, FormatBounds.whole["facility"], format)
        try check("enterpriseId", enterpriseId, FormatBounds.whole["enterpriseId"], format)
        try check("maxMessageBytes", maxMessageBytes, FormatBounds.messageBytes, format)
        if let appName {
            try belongs("appName", format)
            if let mistake = FormatBounds.mistake(inAppName: appName) {
                throw ValidationError("--app-name: '\(appName)' \(mistake).")
            }
        }
    }

    private func belongs(_ key: String, _ format: FormatKind) throws {
        guard let owner = Capabilities.formatKeys.first(where: { $0.key == key }), !owner.formats.contains(format)
        else { return }
        let names = FormatKind.allCases.filter(owner.formats.contains).map(\.rawValue).joined(separator: ", ")
        throw ValidationError(
            "\(Self.option(key)) belongs to \(owner.formats.count == 1 ? "the format" : "the formats") \(names),"
                + " and the format asked for is \(format.rawValue); leave it out.")
    }

    private func check(_ key: String, text: String?, _ format: FormatKind) throws {
        guard let text else { return }
        try belongs(key, format)
        let isPlain = !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
        guard isPlain, 1...FormatBounds.headerBytes ~= text.utf8.count else {
            throw ValidationError(
                "\(Self.option(key)) must have 1 to \(FormatBounds.headerBytes) bytes and no control characters.")
        }
    }

    private func check(_ key: String, _ value: Int?, _ range: ClosedRange<Int>?, _ format: FormatKind) throws {
        guard let value else { return }
        try belongs(key, format)
        guard let range, !range.contains(value) else { return }
        throw ValidationError(
            "\(Self.option(key)) must be from \(range.lowerBound) to \(range.upperBound), and it is \(value).")
    }

    /// `cefVersion` as `--cef-version`.
    private static func option(_ key: String) -> String {
        "--" + key.map { $0.isUppercase ? "-\($0.lowercased())" : String($0) }.joined()
    }
}
