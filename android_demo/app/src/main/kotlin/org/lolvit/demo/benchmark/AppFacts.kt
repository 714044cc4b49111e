package org.lolvit.demo.benchmark

import android.content.Context
import android.os.Build
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import org.lolvit.benchmark.Provenance

/** The app's version, as its manifest has it. */
internal fun appVersion(context: Context): String =
    context.packageManager.getPackageInfo(context.packageName, 0).versionName.orEmpty()

/** The device, runtime and app of a measurement, as far as an app can read them. */
internal fun provenance(context: Context, measured: Measured): Provenance = Provenance(
    runtime = measured.plan.engine.id.substringBefore('/').let { RUNTIMES[it] ?: it },
    runtimeVersion = measured.runtimeVersion,
    threads = measured.plan.threads,
    phoneName = "${Build.MANUFACTURER} ${Build.MODEL}",
    details = details(measured),
    processor = if (Build.VERSION.SDK_INT >= 31) Build.SOC_MODEL else null,
    architecture = Build.SUPPORTED_ABIS.firstOrNull() ?: "unknown",
    cores = Runtime.getRuntime().availableProcessors(),
    system = "Android ${Build.VERSION.RELEASE}",
    appVersion = appVersion(context),
    date = utcNow(),
    pictureName = BenchmarkPicture.NAME,
    pictureSha256 = BenchmarkPicture.sha256(),
)

// The engines by the names that the harness has for runtimes.
private val RUNTIMES = mapOf("litert-cpu" to "litert", "onnx-cpu" to "ort")

private fun details(measured: Measured): Map<String, String> {
    val state = measured.comparison.readings.lastOrNull()?.state
    return listOfNotNull(
        "Android" to Build.VERSION.RELEASE,
        "build" to Build.FINGERPRINT,
        "accelerator" to measured.plan.engine.unit.name,
        state?.thermalStatus?.let { "thermal status at the end" to it.toString() },
        state?.powerSave?.let { "battery saver" to if (it) "on" else "off" },
    ).toMap()
}

private fun utcNow(): String {
    val format = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT)
    format.timeZone = TimeZone.getTimeZone("UTC")
    return format.format(Date())
}
