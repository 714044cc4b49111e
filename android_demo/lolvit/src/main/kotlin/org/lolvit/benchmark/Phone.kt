package org.lolvit.benchmark

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager

/**
 * The state of a phone; null where it does not report one.
 *
 * [thermalStatus] is Android's: 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6
 * shutdown; null before Android 10. [temperatureC] is the battery's: an app sees no other.
 */
public data class PhoneState(
    val thermalStatus: Int?,
    val temperatureC: Double?,
    val batteryPercent: Double?,
    val plugged: Boolean?,
    val powerSave: Boolean?,
)

/** Reads a phone's state between blocks. */
public fun interface Phone {
    public fun state(): PhoneState

    public companion object {
        public fun of(context: Context): Phone {
            val power = context.getSystemService(PowerManager::class.java)
            return Phone {
                val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
                PhoneState(
                    thermalStatus = if (Build.VERSION.SDK_INT >= 29) power?.currentThermalStatus else null,
                    temperatureC = battery.whole(BatteryManager.EXTRA_TEMPERATURE)?.let { it / 10.0 },
                    batteryPercent = percent(battery),
                    plugged = battery.whole(BatteryManager.EXTRA_PLUGGED)?.let { it != 0 },
                    powerSave = power?.isPowerSaveMode,
                )
            }
        }

        private fun percent(battery: Intent?): Double? {
            val level = battery.whole(BatteryManager.EXTRA_LEVEL)
            val scale = battery.whole(BatteryManager.EXTRA_SCALE)
            return if (level == null || scale == null || scale <= 0) null else 100.0 * level / scale
        }

        private fun Intent?.whole(name: String): Int? =
            this?.getIntExtra(name, Int.MIN_VALUE)?.takeIf { it != Int.MIN_VALUE }
    }
}
