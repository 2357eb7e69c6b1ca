import Model

extension TargetReader {
    /// Reads the keys that belong to `format`; those of other formats are reported elsewhere, whatever their value.
    func readFormatOptions(_ options: inout FormatOptions, _ format: FormatKind?, _ backend: BackendKind?) {
        func belongs(_ key: String) -> Bool { format.map { Capabilities.means(key, $0, backend) } ?? false }
        func whole(_ key: String) -> Int? {
            guard belongs(key), let range = FormatBounds.whole[key] else { return nil }
            return section.whole(key, in: range)?.value
        }
        if belongs("vendor"), let vendor = headerText("vendor") { options.vendor = vendor }
        if belongs("product"), let product = headerText("product") { options.product = product }
        if let version = whole("cefVersion") { options.cefVersion = version }
        if let facility = whole("facility") { options.facility = facility }
        if let number = whole("enterpriseId") { options.enterpriseID = number }
        if belongs("appName"), let name = section.text("appName") {
            if let mistake = FormatBounds.mistake(inAppName: name.value) {
                section.problems.add(name.position, name.keyPath, "\(shown(name.value)) \(mistake)")
            } else {
                options.appName = name.value
            }
        }
        if belongs("maxMessageBytes"), let size = section.size("maxMessageBytes", in: FormatBounds.messageBytes) {
            options.maxMessageBytes = size.value
        }
    }

    private func headerText(_ key: String) -> String? { section.text(key, maxBytes: FormatBounds.headerBytes)?.value }

    func explain(_ key: String, format: FormatKind) -> (message: String, hint: String?)? {
        guard let other = Capabilities.formatKeys.first(where: { $0.key == key }) else { return nil }
        let names = FormatKind.allCases.filter(other.formats.contains).map { "`\($0.rawValue)`" }
        let isDefault = section.field("format") == nil ? " (the default)" : ""
        return (
            "belongs to the \(names.count == 1 ? "format" : "formats") \(names.joined(separator: ", "));"
                + " the format here is `\(format.rawValue)`\(isDefault)", "remove the key or change `format`"
        )
    }
}
