package org.lolvit.demo

import android.app.Activity
import android.os.Bundle
import android.view.Gravity
import android.view.WindowManager
import android.widget.TextView

/**
 * What is at the front while the harness measures: the process of a visible activity is in the
 * `top-app` group, which the scheduler gives all cores. Other apps can't start it.
 */
internal class MeasuringActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        window.addFlags(FLAGS)
        setContentView(
            TextView(this).apply {
                setText(R.string.benchmark_harness)
                gravity = Gravity.CENTER
                setTextAppearance(android.R.style.TextAppearance_Material_Medium)
            },
        )
    }

    private companion object {
        // The methods that replace the last two are newer than API 26.
        @Suppress("DEPRECATION")
        private const val FLAGS = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON or
            WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED or
            WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON
    }
}
